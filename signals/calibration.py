"""Fitting a site's codec on calibration examples: relation temperatures, sensitivities, joint basis, quantiser step.

Three disjoint sets of examples: the basis comes from A, the step from B, and what is reported from C (`relation_kl` on C).
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..errors import ConfigurationError
from .basis import CodePlace, RelationCode, code_places, join_blocks
from .fidelity import MeanOf, SiteSample, head_sample, mean_relative_entropy, relation_kl, worst_share
from .fit import Moments, fit_code
from .relations import Relation, relations_of
from .sensitivity import sensitivity
from .site_codec import SiteCodec
from .sites import Site

TARGET_ENTROPY = 0.8
"""Relative entropy to which `calibrated` relation temperatures sharpen a relation."""
STEP_MARGIN = 1.1
"""The step is chosen on B so that its KL stays this factor under the target, to meet it on other examples."""
_PROBE_EXAMPLES = 4
_SENSITIVITY_EXAMPLES = 32
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
    metric = sensitivity(site, head_sample(basis_samples, _SENSITIVITY_EXAMPLES), heads, alpha)
    codec = SiteCodec(
        site=site,
        inner=basis_samples[0].tensors["query"].shape[-1],
        heads=heads,
        codes=_fit_codes(site, basis_samples, metric),
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


def _fit_codes(site: Site, samples: Sequence[SiteSample], metric: Mapping[str, Tensor]) -> dict[str, RelationCode]:
    codes = {}
    for place in code_places(site):
        width = sum(samples[0].tensors[block].shape[-1] for block in place.blocks)
        moments = Moments(width)
        for sample in samples:
            moments.add(*_rows(place, sample))
        codes[place.name] = fit_code(moments, place.blocks, metric).to(samples[0].tensors["query"].device)
    return codes


def measured_kl(codec: SiteCodec, samples: Sequence[SiteSample], rows: int | None = None) -> dict[str, MeanOf]:
    """Mean relation KL per kind of what the codec gives back, over samples; `rows` as in `relation_kl`."""
    total = {relation.kind: MeanOf() for relation in relations_of(codec.site)}
    for sample in samples:
        found = relation_kl(codec.site, sample, codec.reconstruct(sample), codec.heads, codec.alpha, rows)
        for kind, part in found.items():
            total[kind].add(part.total, part.count)
    return total


def search_step(codec: SiteCodec, samples: Sequence[SiteSample], target_kl: float) -> float:
    """The largest step (3 digits) that keeps `worst_share` on the samples under the target with the margin.

    KL grows about with the square of the step, so a secant in logarithms converges in a few evaluations; the bracket makes
    it safe where it does not.
    """
    wanted = 1.0 / STEP_MARGIN
    spread = max(float(code.spread.max()) for code in codec.codes.values())
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


def _rows(place: CodePlace, sample: SiteSample) -> tuple[Tensor, Tensor]:
    """Valid rows [tokens, width] of a code and their token ids [tokens]."""
    valid = sample.valid[place.axis]
    return join_blocks(sample.tensors, place.blocks)[valid], sample.tokens[place.axis][valid]


def trim_rank(codec: SiteCodec, samples: Sequence[SiteSample]) -> SiteCodec:
    """Drop the trailing components that say nothing on any sample (at least one component stays).

    A component whose integers are all zero still says what its tokens' means do, and costs next to nothing.
    """
    codes = {}
    for place in codec.places():
        code = codec.codes[place.name]
        peaks = [code.encode(*_rows(place, sample)).abs().amax(0) for sample in samples]
        means = code.token_means.abs() > code.step / 2
        used = torch.stack([*(peak > 0 for peak in peaks), means.any(0)]).any(0).nonzero().flatten()
        codes[place.name] = code.truncated(int(used[-1]) + 1 if len(used) else 1)
    return codec.replaced(codes)
