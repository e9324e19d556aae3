"""Fit an attention site's codec on calibration examples: inverse temperatures, sensitivities, joint basis, quantizer step.

There are three disjoint sets of examples: the basis comes from A, the step from B, and the reported relation KL from C.
"""

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from ...errors import ConfigurationError
from ..codes.code import CodePlace
from ..codes.site_fit import fit_codes, trim_rank, truncated, with_step
from ..fidelity import SiteSample, head_sample
from ..sites import Site
from .codec import AttentionCodec
from .fidelity import mean_relative_entropy
from .relations import Relation, axes_of, relations_of, student_heads
from .sensitivity import sensitivity
from .step_search import search_step

TARGET_ENTROPY = 0.8
"""The relative entropy to which `calibrated` relation temperatures sharpen a relation."""
_PROBE_EXAMPLES = 4
_SENSITIVITY_EXAMPLES = 32
_ROWS = 48
"""The number of rows per example and relation at which temperatures are searched and sensitivities measured."""


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

    `temperature` is `published` (inverse temperature 1) or `calibrated`; temperatures and entropies are those at `heads`. The
    step is searched for the worst relation KL `target_kl`, in nats (`search_step`), unless `step` fixes it; `rank` keeps at most
    that many components.
    Raises ConfigurationError if neither `target_kl` nor `step` is given, or if no step reaches the target.
    """
    probe = head_sample(basis_samples, _PROBE_EXAMPLES)
    relations = relations_of(axes_of(places))
    published = {r.kind: mean_relative_entropy(r, probe, heads, 1.0) for r in relations}
    inverse_temperature = {r.kind: _sharpening(r, probe, heads, published[r.kind], temperature) for r in relations}
    inner = basis_samples[0].tensors["query"].shape[-1]
    metric = site_sensitivity(relations, basis_samples, inner, inverse_temperature)
    codec = AttentionCodec(
        site=site,
        places=places,
        inner=inner,
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


def site_sensitivity(
    relations: Sequence[Relation],
    samples: Sequence[SiteSample],
    inner: int,
    inverse_temperature: Mapping[str, float],
) -> dict[str, Tensor]:
    """Return the `sensitivity` of a site, on the first examples, as the mean over the most and the fewest heads of students.

    The worst relation of a site has sometimes the fewest heads and sometimes the most, and the code should be cheap for both.
    """
    numbers = student_heads(inner)
    ends = sorted({numbers[0], numbers[-1]}, reverse=True)
    return sensitivity(relations, head_sample(samples, _SENSITIVITY_EXAMPLES), ends, inverse_temperature, _ROWS)


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
        if mean_relative_entropy(relation, probe, heads, math.exp(middle), _ROWS) > TARGET_ENTROPY:
            low = middle
        else:
            high = middle
    return float(f"{math.exp((low + high) / 2):.6g}")
