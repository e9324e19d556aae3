"""Fitting an attention site's codec on calibration examples: relation temperatures, sensitivities, joint basis, quantiser step.

Three disjoint sets of examples: the basis comes from A, the step from B, and what is reported from C (`relation_kl` on C).
"""

import math
from collections.abc import Sequence

from ...errors import ConfigurationError
from ..codes.code import CodePlace
from ..codes.site_fit import fit_codes, largest_step, trim_rank, truncated, with_step
from ..fidelity import MeanOf, SiteSample, head_sample
from ..sites import Site
from .codec import AttentionCodec
from .fidelity import mean_relative_entropy, relation_kl, worst_share
from .relations import Relation, axes_of, relations_of
from .sensitivity import sensitivity

TARGET_ENTROPY = 0.8
"""Relative entropy to which `calibrated` relation temperatures sharpen a relation."""
_PROBE_EXAMPLES = 4
_SENSITIVITY_EXAMPLES = 32
_SEARCH_ROWS = 48
"""Rows per example and relation that the searches look at; the report on C takes all."""


def calibrate_site(
    site: Site,
    places: tuple[CodePlace, ...],
    basis_samples: Sequence[SiteSample],
    step_samples: Sequence[SiteSample],
    heads: int,
    temperature: str,
    target_kl: float | None,
    step: float | None,
    rank: int | None,
) -> AttentionCodec:
    """Fit one attention site's codec.

    `temperature` is `published` (alpha 1) or `calibrated`. The step is searched for the mean relation KL `target_kl`, unless
    `step` fixes it; `rank` keeps that many components at most.
    """
    probe = head_sample(basis_samples, _PROBE_EXAMPLES)
    relations = relations_of(axes_of(places))
    published = {r.kind: mean_relative_entropy(r, probe, heads, 1.0) for r in relations}
    inverse_temperature = {r.kind: _sharpening(r, probe, heads, published[r.kind], temperature) for r in relations}
    metric = sensitivity(relations, head_sample(basis_samples, _SENSITIVITY_EXAMPLES), heads, inverse_temperature)
    codec = AttentionCodec(
        site=site,
        places=places,
        inner=basis_samples[0].tensors["query"].shape[-1],
        heads=heads,
        codes=fit_codes(places, basis_samples, metric),
        inverse_temperature=inverse_temperature,
        relative_entropy={
            r.kind: mean_relative_entropy(r, probe, heads, inverse_temperature[r.kind]) for r in relations
        },
        published_entropy=published,
    )
    if rank is not None:
        codec = truncated(codec, rank)
    if step is None:
        if target_kl is None:
            raise ConfigurationError("either a target KL or a step is needed to calibrate a site")
        step = search_step(codec, step_samples, target_kl)
    return trim_rank(with_step(codec, step), [*basis_samples, *step_samples])


def _sharpening(
    relation: Relation, probe: Sequence[SiteSample], heads: int, published: float, temperature: str
) -> float:
    """alpha >= 1 at which the teacher's mean relative entropy is 0.8 (it falls monotonically with alpha), by bisection."""
    if temperature == "published" or published <= TARGET_ENTROPY:
        return 1.0
    low, high = 0.0, math.log(1e6)
    for _ in range(24):
        middle = (low + high) / 2
        if mean_relative_entropy(relation, probe, heads, math.exp(middle), _SEARCH_ROWS) > TARGET_ENTROPY:
            low = middle
        else:
            high = middle
    return float(f"{math.exp((low + high) / 2):.6g}")


def measured_kl(codec: AttentionCodec, samples: Sequence[SiteSample], rows: int | None = None) -> dict[str, MeanOf]:
    """Mean relation KL per kind of what the codec gives back, over samples; `rows` as in `relation_kl`."""
    total = {relation.kind: MeanOf() for relation in codec.relations}
    for sample in samples:
        found = relation_kl(
            codec.relations, sample, codec.reconstruct(sample), codec.heads, codec.inverse_temperature, rows
        )
        for kind, part in found.items():
            total[kind].add(part.total, part.count)
    return total


def search_step(codec: AttentionCodec, samples: Sequence[SiteSample], target_kl: float) -> float:
    """The largest step (3 digits) that keeps `worst_share` on the samples under the target with the margin.

    Raises ConfigurationError where none does, which a limited rank may be the reason of.
    """

    def share(step: float) -> float:
        return worst_share(measured_kl(with_step(codec, step), samples, _SEARCH_ROWS), target_kl)

    step, best = largest_step(codec, share)
    if not step:
        rank = max(code.rank for code in codec.codes.values())
        raise ConfigurationError(
            f"{codec.site}: no step reaches a relation KL of {target_kl:g} nats with rank {rank} (at best {best:.2g} times the "
            "target is used up); raise --relation-kl or --relation-rank"
        )
    return step
