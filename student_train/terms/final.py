"""The final states of an encoder: what its users read, so a student with the same states can take the teacher's place.

    error  = |W s + b - t|^2 / energy,  energy = mean of |t - mean t|^2 over the teacher's tokens
    cosine = 1 - cos(W s + b, t)

Both are means over tokens; their mean is the term. The map W, b is learned where the widths differ, and the identity elsewhere.
"""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from ...errors import CacheMismatchError
from ...models.projected_encoder import MAP
from ...signals.hidden_states import RAW
from ...signals.kinds import parse_sites
from ...signals.matching.target_statistics import Target
from ...signals.taps import Taps
from ..reading.batch import Batch
from ..reading.teacher_signals import TeacherSignals
from .hidden import TENSOR
from .matched import IDENTITY, LinearMap, Match, Matched, cache_error, chosen_projection
from .term import TERMS, SitePair, TermContext
from .weighings import WEIGHINGS

ERROR, COSINE = "error", "cosine"
"""The parts of the term."""


@TERMS.register("final")
class Final(Matched):
    """The error and the cosine distance of a student's final states, mapped linearly, from the teacher's."""

    @classmethod
    def build(cls, context: TermContext, options: Mapping[str, Any]) -> Self:
        """Return the term of the stack that the option `site` names. Raises CacheMismatchError if the cache lacks the states."""
        site, facts = str(options["site"]), context.cache.plan.teacher.facts
        [teacher] = parse_sites(site, context.family.depths(facts))
        if str(teacher) not in context.cache.codecs:
            held = ", ".join(context.cache.codecs) or "no sites"
            raise CacheMismatchError(
                f"objective {context.objective} needs {site}, but {context.cache.path} holds {held}; dump with --signal {site}"
            )
        [student] = parse_sites(site, {teacher.stack: context.family.depth(context.student.config, teacher.stack)})
        width, out = context.student.config.d_model, context.cache.codecs[str(teacher)].width
        learned = chosen_projection(context) != IDENTITY or width != out
        match = Match(
            part=ERROR,
            pair=SitePair(teacher, student),
            target=Target(str(teacher), TENSOR, "none", directions=False),
            map=MAP if learned else None,
            width=out,
            cache_error=cache_error(context.cache, str(teacher), *RAW),
        )
        maps = {MAP: LinearMap(width, out)} if learned else {}
        return cls([match], maps, context.family.stack(teacher.stack).axis, "energy")

    def __init__(self, matches: list[Match], maps: Mapping[str, LinearMap], axis: str, weighing: str) -> None:
        super().__init__(matches, maps, axis, weighing)
        self.parts = (ERROR, COSINE)

    def sums(self, taps: Taps, teacher: TeacherSignals, batch: Batch) -> dict[str, Tensor]:
        [match] = self.matches
        valid = batch.valid[self.axis]
        ours = taps[str(match.pair.student)][TENSOR][valid].float()
        theirs = teacher.sites[match.target.site][TENSOR][valid].float()
        if match.map is not None:
            learned = self.maps[match.map]
            assert isinstance(learned, LinearMap)
            ours = torch.addmm(learned.bias, ours, learned.weight.T)
        # unlike match_sum, because the cosine needs the mapped states too
        error = self.metric[0] * (ours - theirs).square().sum()
        return {ERROR: error, COSINE: (1 - torch.cosine_similarity(ours, theirs, dim=-1)).sum()}

    def formula(self) -> str:
        mapped = "a learned map of " if self.maps else ""
        return (
            f"squared error of {mapped}the final states, divided by {WEIGHINGS['energy'].phrase}, and their cosine distance, "
            "mean of both over tokens"
        )
