"""Measure how faithful a cached relation is: KL(P_teacher || P_cached) with the loss's own masks, per relation kind.

We measure one example at a time, so that memory stays at R x L x L numbers.
"""

from collections.abc import Iterable, Mapping, Sequence

from ..fidelity import MeanOf, SiteSample, SpreadOf, Tensors
from .codec import AttentionCodec
from .relations import Relation, relation_kl_rows, relation_kl_sum, relation_rows, relative_entropy


def relation_kl_spread(
    relations: Sequence[Relation],
    exact: SiteSample,
    other: Tensors,
    heads: int,
    inverse_temperature: Mapping[str, float],
) -> dict[str, SpreadOf]:
    """Return by relation kind the spread of KL(exact || other), in nats, over all valid rows and heads."""
    measured = {relation.kind: SpreadOf() for relation in relations}
    for one, cached in zip(exact.examples(), SiteSample(other, exact.valid, exact.tokens).examples(), strict=True):
        for relation in relations:
            rows = relation_kl_rows(
                relation, one.tensors, cached.tensors, one.valid, heads, inverse_temperature[relation.kind]
            )
            measured[relation.kind].add_values(rows)
    return measured


def relation_kl(
    relations: Sequence[Relation],
    exact: SiteSample,
    other: Tensors,
    heads: int,
    inverse_temperature: Mapping[str, float],
    rows: int | None = None,
) -> dict[str, MeanOf]:
    """Return by relation kind the mean of KL(exact || other), in nats, over valid rows and heads.

    For estimates, `rows` takes about that many evenly spaced rows per example instead of all.
    """
    measured = {relation.kind: MeanOf() for relation in relations}
    pairs = zip(exact.examples(), SiteSample(other, exact.valid, exact.tokens).examples(), strict=True)
    for one, cached in pairs:
        for relation in relations:
            step = row_step(relation, one, rows)
            factors = one.tensors, cached.tensors, one.valid
            kl = relation_kl_sum(relation, *factors, heads, inverse_temperature[relation.kind], step)
            measured[relation.kind].add(float(kl), relation_rows(relation, one.valid, heads, step))
    return measured


def kl_by_heads(
    codec: AttentionCodec, pairs: Iterable[tuple[SiteSample, Tensors]], heads: Sequence[int], rows: int | None = None
) -> dict[tuple[str, int], MeanOf]:
    """Return the mean KL(exact || decoded), in nats, by relation kind and number of relation heads.

    `pairs` are samples with the tensors that stand for them; `rows` is as in `relation_kl`.
    """
    total: dict[tuple[str, int], MeanOf] = {}
    for exact, decoded in pairs:
        for number in heads:
            found = relation_kl(codec.relations, exact, decoded, number, codec.inverse_temperature, rows)
            for kind, part in found.items():
                total.setdefault((kind, number), MeanOf()).merge(part)
    return total


def row_step(relation: Relation, sample: SiteSample, rows: int | None) -> int:
    """Return the spacing at which about `rows` rows of a relation are taken; 1 for all rows."""
    return max(1, sample.valid[relation.row_axis].shape[1] // rows) if rows else 1


def mean_relative_entropy(
    relation: Relation, samples: Sequence[SiteSample], heads: int, inverse_temperature: float, rows: int | None = None
) -> float:
    """Return the teacher's mean entropy over ln(visible keys), averaged over examples; 1 for a uniform relation."""
    entropies = [
        relative_entropy(relation, one.tensors, one.valid, heads, inverse_temperature, row_step(relation, one, rows))
        for sample in samples
        for one in sample.examples()
    ]
    return sum(entropies) / len(entropies)
