"""How faithful a cached relation is: KL(P_teacher || P_cached) with the loss's own masks, per relation kind.

Measured one example at a time, so that memory stays at R x L x L.
"""

from collections.abc import Mapping, Sequence

from ..fidelity import MeanOf, SiteSample, SpreadOf, Tensors
from .relations import Relation, relation_kl_rows, relation_kl_sum, relation_rows, relative_entropy


def relation_kl_spread(
    relations: Sequence[Relation],
    exact: SiteSample,
    other: Tensors,
    heads: int,
    inverse_temperature: Mapping[str, float],
) -> dict[str, SpreadOf]:
    """Per relation kind, the KLs of `other`'s relations from the exact ones, of all valid rows and heads."""
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
    """Per relation kind, the KL sum and row count of `other`'s relations from the exact ones.

    `rows` takes about that many evenly spaced rows per example instead of all, for estimates.
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


def row_step(relation: Relation, sample: SiteSample, rows: int | None) -> int:
    """Spacing at which about `rows` rows of a relation are taken; 1 for all."""
    return max(1, sample.valid[relation.row_axis].shape[1] // rows) if rows else 1


def mean_relative_entropy(
    relation: Relation, samples: Sequence[SiteSample], heads: int, inverse_temperature: float, rows: int | None = None
) -> float:
    """The teacher's own mean entropy over ln(visible keys), averaged over examples; 1 says that the relation is uniform."""
    found = [
        relative_entropy(relation, one.tensors, one.valid, heads, inverse_temperature, row_step(relation, one, rows))
        for sample in samples
        for one in sample.examples()
    ]
    return sum(found) / len(found)


def worst_share(kl: Mapping[str, MeanOf], target: float) -> float:
    """How far the measured KLs use up the target: 1 when the binding one of three conditions is just met.

    The mean over QQ, KK, VV may reach the target, no single one more than three times the target, and QK (cross-attention)
    the target itself.
    """
    same = [kl[kind].mean for kind in ("query", "key", "value")]
    shares = [sum(same) / len(same) / target, max(same) / (3 * target)]
    if "query_key" in kl:
        shares.append(kl["query_key"].mean / target)
    return max(shares)
