"""Fit an attention site's codec on calibration examples: inverse temperatures, sensitivities, joint basis, quantizer step.

There are three disjoint sets of examples: the basis comes from A, the step from B, and the reported relation KL from C.
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
"""The relative entropy to which `calibrated` relation temperatures sharpen a relation."""
_PROBE_EXAMPLES = 4
_SENSITIVITY_EXAMPLES = 32
_SEARCH_ROWS = 48
"""The number of rows per example and relation that the searches use; the report on C uses all rows."""


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

    `temperature` is `published` (inverse temperature 1) or `calibrated`. The step is searched for the mean relation KL
    `target_kl`, in nats, unless `step` fixes it; `rank` keeps at most that many components.
    Raises ConfigurationError if neither `target_kl` nor `step` is given, or if no step reaches the target.
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
    """Return the inverse temperature >= 1 at which the teacher's mean relative entropy is 0.8, by bisection.

    The entropy falls monotonically with the inverse temperature. Return 1 if `temperature` is `published`, or if the entropy is
    at most 0.8 already.
    """
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
    """Return the mean relation KL of the decoded samples, in nats, per relation kind; `rows` is as in `relation_kl`."""
    total = {relation.kind: MeanOf() for relation in codec.relations}
    for sample in samples:
        by_kind = relation_kl(
            codec.relations, sample, codec.reconstruct(sample), codec.heads, codec.inverse_temperature, rows
        )
        for kind, part in by_kind.items():
            total[kind].add(part.total, part.count)
    return total


def search_step(codec: AttentionCodec, samples: Sequence[SiteSample], target_kl: float) -> float:
    """Return the largest step (3 digits) that keeps `worst_share` on the samples under the target with the margin.

    Raises ConfigurationError if no step does, for example because the rank is limited.
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
