"""What calibration and shards record of an attention site: the names of the measures, and what can be read off them.

| measure | content |
|---|---|
| `KIND` | the relation KL, in nats, at the codec's own number of heads, over all rows; in shards with its spread |
| `KIND at R` | the same at each other number R of `student_heads`, over some rows |
| `TENSOR_squared_error`, `TENSOR_energy` | sums of |x - decoded x|^2 and |x - mean|^2 over tokens; `query`, `key` and `value` |

KIND is a relation (`query`, `key`, `value`, `query_key`), `mean` the mean row of the calibration's basis examples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..fidelity import MeanOf, SiteSample, Tensors, merged
from .codec import AttentionCodec
from .fidelity import kl_by_heads, relation_kl, relation_kl_spread
from .relations import default_relation_heads, ordered, student_heads

MEASURED_ROWS = 24
"""The number of rows per example and relation at which the other numbers of heads are measured."""
_TENSORS = ("query", "key", "value")
_ERROR, _ENERGY = "_squared_error", "_energy"


@dataclass(frozen=True, slots=True)
class WorstRelation:
    """The relation of a site that the cache keeps least faithfully."""

    kind: str
    heads: int
    """The number of relation heads."""
    kl: float
    """The mean KL, in nats."""


def measure_names(kinds: Sequence[str], inner: int) -> set[str]:
    """Return the names of all measures of a site with these relations, whose Q, K and V are so wide."""
    own = default_relation_heads(inner)
    at_others = {_at(kind, heads) for kind in kinds for heads in student_heads(inner) if heads != own}
    return {*kinds, *at_others, *(tensor + part for tensor in _TENSORS for part in (_ERROR, _ENERGY))}


def measured(codec: AttentionCodec, samples: Sequence[SiteSample], spread: bool = False) -> dict[str, MeanOf]:
    """Return all measures of some samples by name; with `spread`, those at the codec's own heads have a histogram."""
    total: dict[str, MeanOf] = {}
    own_heads = relation_kl_spread if spread else relation_kl
    for sample in samples:
        decoded = codec.reconstruct(sample)
        own = own_heads(codec.relations, sample, decoded, codec.heads, codec.inverse_temperature)
        for name, part in {
            **own,
            **_at_other_heads(codec, sample, decoded),
            **_tensors(codec, sample, decoded),
        }.items():
            total[name] = merged(total.get(name), part)
    return total


def _at(kind: str, heads: int) -> str:
    return f"{kind} at {heads}"


def _at_other_heads(codec: AttentionCodec, sample: SiteSample, decoded: Tensors) -> dict[str, MeanOf]:
    others = [heads for heads in codec.all_heads if heads != codec.heads]
    found = kl_by_heads(codec, [(sample, decoded)], others, MEASURED_ROWS)
    return {_at(kind, heads): part for (kind, heads), part in found.items()}


def _tensors(codec: AttentionCodec, sample: SiteSample, decoded: Tensors) -> dict[str, MeanOf]:
    """Return the squared errors and energies of Q, K and V over the valid tokens."""
    found = {}
    for place in codec.places:
        code, valid = codec.codes[place.name], sample.valid[place.axis]
        for name, mean in code.split(code.mean).items():
            exact = sample.tensors[name][valid].double()
            error, energy = (decoded[name][valid] - exact).square().sum(), (exact - mean).square().sum()
            found[name + _ERROR] = MeanOf(float(error), len(exact))
            found[name + _ENERGY] = MeanOf(float(energy), len(exact))
    return found


def kls_by_heads(codec: AttentionCodec, measures: Mapping[str, MeanOf]) -> dict[str, dict[int, float]]:
    """Return the mean KL, in nats, by relation kind and number of heads, most heads first."""
    return {
        kind: {heads: measures[kind if heads == codec.heads else _at(kind, heads)].mean for heads in codec.all_heads}
        for kind in ordered(codec.inverse_temperature)
    }


def worst_relation(kls: Mapping[str, Mapping[int, float]]) -> WorstRelation:
    """Return the relation of greatest KL among those that `kls_by_heads` returned."""
    found = [WorstRelation(kind, heads, kl) for kind, by_heads in kls.items() for heads, kl in by_heads.items()]
    return max(found, key=lambda relation: relation.kl)


def tensor_errors(measures: Mapping[str, MeanOf]) -> dict[str, float]:
    """Return the relative squared errors of Q, K and V by name; 0 where all rows equal the mean."""
    errors = {}
    for name in _TENSORS:
        energy = measures[name + _ENERGY].total
        errors[name] = measures[name + _ERROR].total / energy if energy else 0.0
    return errors
