"""Search the quantizer step of an attention site: the largest one whose worst relation KL meets the target.

The target holds for every relation at every number of relation heads that a student may use, without an exception. A uniform
relation does not need one: its factors are small, so their errors hardly change P, and it is never the worst. A relation that is
almost one-hot can be the worst. We keep it to the target too, since a student sees a row whose one key flips as an error of
many nats.

Most of the search measures only the fewest heads. They cost least, because the time of a KL is proportional to the number of
heads, and their KL is usually the greatest. The step that they allow is then tried at all other numbers.
"""

from collections.abc import Iterator, Sequence

from torch import Tensor

from ...errors import ConfigurationError
from ..codes.code import CodePlace, RelationCode, join_blocks
from ..codes.quantizer import quantize
from ..codes.site_fit import STEP_MARGIN, largest_step
from ..fidelity import SiteSample, Tensors
from .codec import AttentionCodec
from .fidelity import kl_by_heads

SEARCH_ROWS = 24
"""The number of rows per example and relation at which the search measures."""


def search_step(codec: AttentionCodec, samples: Sequence[SiteSample], target_kl: float) -> float:
    """Return the largest step (3 digits) at which no relation of the samples exceeds the target, in nats, with the margin.

    Raises ConfigurationError if no step does, for example because the rank is limited.
    """
    recoded, heads = _Recoded(codec, samples), codec.all_heads
    suspects = [min(heads)]
    while True:
        step, best = _step_for(recoded, suspects, target_kl)
        if not step:
            rank = max(code.rank for code in codec.codes.values())
            raise ConfigurationError(
                f"{codec.site}: no step reaches a relation KL of {target_kl:g} nats with rank {rank} (at best {best:.2g} times "
                "the target is used up); raise --relation-kl or --relation-rank"
            )
        found = {number: recoded.worst_kl(step, [number]) for number in heads if number not in suspects}
        worst = max(found, key=found.__getitem__, default=None)
        if worst is None or found[worst] <= target_kl / STEP_MARGIN:
            return step
        suspects.append(worst)


def _step_for(recoded: "_Recoded", heads: Sequence[int], target_kl: float) -> tuple[float, float]:
    """Return the step that these numbers of heads allow, and the last share of the target; the step is 0 if there is none."""
    # measured at the three digits that are kept: where rows are almost one-hot, a row can flip between two near steps
    return largest_step(recoded.codec, lambda step: recoded.worst_kl(float(f"{step:.3g}"), heads) / target_kl)


class _Recoded:
    """Samples of a site that are decoded at any step; their coefficients before rounding are computed only once."""

    def __init__(self, codec: AttentionCodec, samples: Sequence[SiteSample]) -> None:
        self.codec, self._samples = codec, samples
        self._coefficients = {
            place.name: [
                codec.codes[place.name].coefficients(
                    join_blocks(sample.tensors, place.blocks), sample.tokens[place.axis]
                )
                for sample in samples
            ]
            for place in codec.places
        }

    def worst_kl(self, step: float, heads: Sequence[int]) -> float:
        """Return the greatest mean KL, in nats, over the relations and these numbers of heads."""
        decoded: list[dict[str, Tensor]] = [{} for _ in self._samples]
        for place in self.codec.places:
            for tensors, blocks in zip(decoded, self._decoded(place, step), strict=True):
                tensors.update(blocks)
        pairs = zip(self._samples, decoded, strict=True)
        return max(part.mean for part in kl_by_heads(self.codec, pairs, heads, SEARCH_ROWS).values())

    def _decoded(self, place: CodePlace, step: float) -> Iterator[Tensors]:
        """Yield for each sample the blocks of a place as a student sees them, without the components that are not used."""
        code = self.codec.codes[place.name].with_step(step)
        integers = [quantize(coefficients, step, code.spread) for coefficients in self._coefficients[place.name]]
        rank = _used_rank(code, integers)
        code = code.truncated(rank)
        for sample, block in zip(self._samples, integers, strict=True):
            yield code.split(code.decode(block[..., :rank], sample.tokens[place.axis]))


def _used_rank(code: RelationCode, integers: Sequence[Tensor]) -> int:
    """Return the number of components up to the last one that is used, as `trim_rank` keeps them: at least 1."""
    used = (code.token_means.abs() > code.step / 2).any(0)
    for block in integers:
        used = used | (block != 0).flatten(0, -2).any(0)
    places = used.nonzero()
    return int(places[-1]) + 1 if len(places) else 1
