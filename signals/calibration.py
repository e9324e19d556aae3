"""Fitting a site's codec on calibration examples: relation temperatures, block weights, joint basis, quantiser step.

Three disjoint sets of examples: the basis comes from A, the step from B, and what is reported from C (`relation_kl` on C).
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..errors import ConfigurationError
from .basis import Moments, RelationCode, code_places, fit_code, join_blocks
from .fidelity import MeanOf, SiteSample, head_sample, mean_relative_entropy, relation_kl, root_mean_square, worst_share
from .relations import Relation, relations_of
from .site_codec import SiteCodec
from .sites import KINDS, Site

TARGET_ENTROPY = 0.8
"""Relative entropy to which `calibrated` relation temperatures sharpen a relation."""
STEP_MARGIN = 1.1
"""The step is chosen on B so that its KL stays this factor under the target, to meet it on other examples."""
WEIGHT_FLOOR = 0.05
"""Least block weight relative to the greatest: a block whose relation is uniform is still kept in outline."""
_PROBE_EXAMPLES = 4
_PROBE_NOISE = 0.1
_ROUNDING = 1e-7
"""KL in nats that float32 makes of nothing; a block that costs less is one that costs nothing."""
_FINEST = 2.0**-20
"""Least step that is tried, relative to the spread of the coefficients, which then still fit float32 and int32."""
_SEARCH_ROWS = 48
"""Rows per example and relation that the searches look at; the report on C takes all."""


def calibrate_site(
    site: Site,
    basis_samples: Sequence[SiteSample],
    step_samples: Sequence[SiteSample],
    heads: int,
    temperature: str,
    target_kl: float | None,
    step: float | None,
    rank: int | None,
) -> SiteCodec:
    """Fit one site's codec.

    `temperature` is `published` (alpha 1) or `calibrated`. The step is searched for the mean relation KL `target_kl`, unless
    `step` fixes it; `rank` keeps that many components at most.
    """
    probe = head_sample(basis_samples, _PROBE_EXAMPLES)
    relations = relations_of(site)
    published = {r.kind: mean_relative_entropy(r, probe, heads, 1.0) for r in relations}
    alpha = {r.kind: _sharpening(r, probe, heads, published[r.kind], temperature) for r in relations}
    weights = block_weights(site, probe, heads, alpha)
    codec = SiteCodec(
        site=site,
        inner=basis_samples[0].tensors["query"].shape[-1],
        heads=heads,
        codes=_fit_codes(site, basis_samples, weights),
        alpha=alpha,
        relative_entropy={r.kind: mean_relative_entropy(r, probe, heads, alpha[r.kind]) for r in relations},
        published_entropy=published,
    )
    if rank is not None:
        codec = _map_codes(codec, lambda code: code.truncated(rank))
    if step is None:
        if target_kl is None:
            raise ConfigurationError("either a target KL or a step is needed to calibrate a site")
        step = search_step(codec, step_samples, target_kl)
    return trim_rank(_with_step(codec, step), [*basis_samples, *step_samples])


def _map_codes(codec: SiteCodec, change: Callable[[RelationCode], RelationCode]) -> SiteCodec:
    return codec.replaced({name: change(code) for name, code in codec.codes.items()})


def _with_step(codec: SiteCodec, step: float) -> SiteCodec:
    return _map_codes(codec, lambda code: code.with_step(step))


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


def block_weights(site: Site, probe: Sequence[SiteSample], heads: int, alpha: Mapping[str, float]) -> dict[str, float]:
    """Weights of Q, K and V, the greatest 1: square roots of the KL that a unit of white noise in the block costs.

    Measured with noise of a tenth of the block's own root mean square, summed over the relations that the block is part of.
    """
    generator = torch.Generator().manual_seed(0)
    sensitivity = dict.fromkeys(KINDS, 0.0)
    for sample in probe:
        for kind in KINDS:
            axis = site.query_axis if kind == "query" else site.key_axis
            sigma = _PROBE_NOISE * root_mean_square(sample.tensors[kind], sample.valid[axis])
            noise = torch.randn(sample.tensors[kind].shape, generator=generator).to(sample.tensors[kind].device)
            noisy = {**sample.tensors, kind: sample.tensors[kind].float() + sigma * noise}
            kl = relation_kl(site, sample, noisy, heads, alpha, _SEARCH_ROWS)
            sensitivity[kind] += sum(max(0.0, part.mean - _ROUNDING) for part in kl.values()) / sigma**2
    greatest = max(sensitivity.values()) or 1.0
    return {kind: max(WEIGHT_FLOOR, math.sqrt(value / greatest)) for kind, value in sensitivity.items()}


def _fit_codes(site: Site, samples: Sequence[SiteSample], weights: Mapping[str, float]) -> dict[str, RelationCode]:
    codes = {}
    for place in code_places(site):
        width = sum(samples[0].tensors[block].shape[-1] for block in place.blocks)
        moments = Moments(width)
        for sample in samples:
            moments.add(join_blocks(sample.tensors, place.blocks)[sample.valid[place.axis]])
        codes[place.name] = fit_code(moments, place.blocks, weights).to(samples[0].tensors["query"].device)
    return codes


def measured_kl(codec: SiteCodec, samples: Sequence[SiteSample], rows: int | None = None) -> dict[str, MeanOf]:
    """Mean relation KL per kind of what the codec gives back, over samples; `rows` as in `relation_kl`."""
    total = {relation.kind: MeanOf() for relation in relations_of(codec.site)}
    for sample in samples:
        found = relation_kl(codec.site, sample, codec.reconstruct(sample.tensors), codec.heads, codec.alpha, rows)
        for kind, part in found.items():
            total[kind].add(part.total, part.count)
    return total


def search_step(codec: SiteCodec, samples: Sequence[SiteSample], target_kl: float) -> float:
    """The largest step (3 digits) that keeps `worst_share` on the samples under the target with the margin.

    KL grows about with the square of the step, so a secant in logarithms converges in a few evaluations; the bracket makes
    it safe where it does not.
    """
    wanted = 1.0 / STEP_MARGIN
    spread = math.sqrt(
        max(float(code.coefficients(_rows(codec, name, samples[0])).var()) for name, code in codec.codes.items())
    )
    low, high, step = 0.0, math.inf, max(spread, 1e-6)
    floor = step * _FINEST
    for _ in range(30):
        share = worst_share(measured_kl(_with_step(codec, step), samples, _SEARCH_ROWS), target_kl)
        low, high = (step, high) if share <= wanted else (low, step)
        if low and high / low < 1.02:
            break
        step = _next_step(step, share / wanted, low, high)
        if step < floor:
            break
    if not low:
        rank = max(code.rank for code in codec.codes.values())
        raise ConfigurationError(
            f"{codec.site}: no step reaches a relation KL of {target_kl:g} nats with rank {rank} (at best {share:.2g} times the "
            "target is used up); raise --relation-kl or --relation-rank"
        )
    return float(f"{low:.3g}")


def _next_step(step: float, overshoot: float, low: float, high: float) -> float:
    guess = step * min(8.0, max(0.125, overshoot**-0.5 * 0.995)) if overshoot > 0 else step * 8.0
    if low < guess < high and (low == 0.0 or high == math.inf or guess / low > 1.01 < high / guess):
        return guess
    return math.sqrt(low * high) if low and high < math.inf else guess


def _rows(codec: SiteCodec, place_name: str, sample: SiteSample) -> Tensor:
    place = next(place for place in codec.places() if place.name == place_name)
    return join_blocks(sample.tensors, place.blocks)[sample.valid[place.axis]]


def trim_rank(codec: SiteCodec, samples: Sequence[SiteSample]) -> SiteCodec:
    """Drop the trailing components whose coefficients round to zero on every sample (at least one component stays)."""
    codes = {}
    for place in codec.places():
        code = codec.codes[place.name]
        peak = torch.stack([code.encode(_rows(codec, place.name, s)).abs().amax(0) for s in samples]).amax(0)
        used = peak.nonzero().flatten()
        codes[place.name] = code.truncated(int(used[-1]) + 1 if len(used) else 1)
    return codec.replaced(codes)
