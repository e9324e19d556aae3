"""What the terms have in common that map a student's tensor linearly and compare it with a teacher's, token by token.

Each pair of tensors is one part. The maps are the term's own parameters: they train, are saved and resume with the student, and
`projections.safetensors` beside the exported student holds them. What the term takes from the cache when it starts is in its
buffers, which a checkpoint holds too.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...cache import Cache
from ...errors import CacheMismatchError, ConfigurationError
from ...models.start import parse_init
from ...models.start.teacher_layers import NAME as TEACHER_LAYERS
from ...signals.matching.linear_match import Comparison, match_sum
from ...signals.matching.row_norms import NORMS
from ...signals.matching.target_statistics import Target, TargetStatistics
from ...signals.taps import Taps
from ..reading.batch import Batch
from ..reading.teacher_signals import TeacherSignals
from .term import SitePair, Term, TermContext
from .weighings import WEIGHINGS

IDENTITY = "auto"
"""The projection without a learned map, except where widths differ."""
FAITHFUL = 20
"""A student whose unexplained fraction is below this many times the cache's own error is limited by the cache: the error turns
its gradient by about atan(sqrt(1 / 20)), 13 degrees."""


class LinearMap(nn.Module):
    """A learned map x -> W x + b of rows, whose W may consist of equal blocks along its diagonal."""

    def __init__(self, width: int, out: int, blocks: int = 1) -> None:
        super().__init__()
        shape = (out, width) if blocks == 1 else (blocks, out // blocks, width // blocks)
        # W ~ N(0, 1 / inputs), so that the map of a row of rms 1 has rms 1
        self.weight = nn.Parameter(torch.randn(shape) * (width // blocks) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(out))


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """One part of a term: a tensor of the student, against a tensor of the teacher."""

    part: str
    pair: SitePair
    target: Target
    map: str | None
    """The key of the learned map; None for the identity."""
    width: int
    """The width of the teacher's tensor."""
    tensor: str | None = None
    """The name of the student's tensor; None for that of the target."""
    norm: str | None = None
    """The name of the student's normalisation; None for that of the target."""
    noise: float = 0.0
    """The variance of the cache's code per component of the teacher's tensor."""
    cache_error: float | None = None
    """The relative squared error of the cached tensor, as the calibration measured it; None if it did not."""


class Matched(Term):
    """The mean over parts and tokens of (p - y)^T S (p - y), p the mapped tensor of the student, y the teacher's."""

    shows_parts: ClassVar[bool] = True
    metric: Tensor
    """S of each target, [targets] or [targets, d, d]."""
    energies: Tensor
    """The centred energy of each target, float64 [targets]."""

    def __init__(self, matches: Sequence[Match], maps: Mapping[str, LinearMap], axis: str, weighing: str) -> None:
        super().__init__()
        self.matches, self.axis, self._weighing = tuple(matches), axis, WEIGHINGS[weighing]
        self.maps = nn.ModuleDict(maps)
        self.parts = tuple(match.part for match in matches)
        self.pairs = tuple(match.pair for match in matches)
        self.targets = tuple(dict.fromkeys(match.target for match in matches))
        widths = (matches[0].width,) * 2 if self._weighing.matrix else ()
        self.register_buffer("metric", torch.ones(len(self.targets), *widths))
        self.register_buffer("energies", torch.ones(len(self.targets), dtype=torch.float64))

    @torch.no_grad()
    def start(self, statistics: Mapping[Target, TargetStatistics]) -> None:
        """Weigh errors by the targets' statistics, and let every map begin at the mean of its targets.

        Raises CacheMismatchError for a target that is the same for all tokens.
        """
        self.weigh(statistics)
        for key, learned in self.maps.items():
            assert isinstance(learned, LinearMap)
            means = [statistics[match.target].mean for match in self.matches if match.map == key]
            learned.bias.copy_(torch.stack(means).mean(0))

    def weigh(self, statistics: Mapping[Target, TargetStatistics]) -> None:
        """Take from the targets' statistics how errors are weighed.

        Raises CacheMismatchError for a target that is the same for all tokens.
        """
        noises = {match.target: match.noise for match in self.matches}
        for place, target in enumerate(self.targets):
            found = statistics[target]
            if not found.energy > 0:
                raise CacheMismatchError(
                    f"{target.tensor} of {target.site} is the same for all cached tokens, so a student cannot learn from it; "
                    "choose another layer, or dump it with a smaller error"
                )
            self.energies[place] = found.energy
            self.metric[place] = self._weighing.metric(found, noises[target])

    def counts(self, batch: Batch) -> dict[str, int]:
        return dict.fromkeys(self.parts, int(batch.valid[self.axis].sum()))

    def sums(self, taps: Taps, teacher: TeacherSignals, batch: Batch) -> dict[str, Tensor]:
        rows = batch.valid[self.axis].flatten().nonzero().squeeze(1)
        return {match.part: self._sum(match, taps, teacher, rows) for match in self.matches}

    def _sum(self, match: Match, taps: Taps, teacher: TeacherSignals, rows: Tensor) -> Tensor:
        target = match.target
        compared = Comparison(
            theirs=teacher.sites[target.site][target.tensor],
            rows=rows,
            norm=NORMS[match.norm or target.norm],
            their_norm=NORMS[target.norm],
            metric=self.metric[self.targets.index(target)],
        )
        ours = taps[str(match.pair.student)][match.tensor or target.tensor]
        if match.map is None:
            return match_sum(ours, None, None, compared)
        learned = self.maps[match.map]
        assert isinstance(learned, LinearMap)
        return match_sum(ours, learned.weight, learned.bias, compared)

    def limits(self) -> dict[str, float]:
        """Return by part the value below which the cache's own error limits the student.

        A part is left out if the error was not measured, or if S is a matrix, in which the error's own share is not known.
        """
        if self._weighing.matrix:
            return {}
        return {
            match.part: FAITHFUL * match.cache_error * self._energy_of(match) * self._weight_of(match)
            for match in self.matches
            if match.cache_error is not None
        }

    def _energy_of(self, match: Match) -> float:
        return float(self.energies[self.targets.index(match.target)])

    def _weight_of(self, match: Match) -> float:
        return float(self.metric[self.targets.index(match.target)])

    @abstractmethod
    def formula(self) -> str: ...


def chosen_projection(context: TermContext, of_objective: str = IDENTITY) -> str:
    """Return which maps of states are learned: as the user says, else as the objective does.

    A student that starts from its teacher's layers keeps the identity, because a random map would undo its start.
    """
    asked = context.config.projection
    if parse_init(context.config.init)[0] == TEACHER_LAYERS:
        if asked != IDENTITY:
            raise ConfigurationError(
                f"--projection {asked}: a student that starts from its teacher's layers has the teacher's states, which a random "
                "map would undo; leave --projection out"
            )
        return IDENTITY
    return of_objective if asked == IDENTITY else asked


def cache_error(cache: Cache, site: str, error: str, energy: str) -> float | None:
    """Return the relative squared error of a cached tensor on the calibration's report examples; None if it was not measured.

    `error` and `energy` are the names of the two sums in the calibration's fidelity.
    """
    measured = cache.calibration.fidelity.get(site, {})
    if error not in measured or energy not in measured or not measured[energy].total:
        return None
    return float(measured[error].total) / float(measured[energy].total)
