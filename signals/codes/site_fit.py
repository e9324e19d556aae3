"""What the fits of all sites share: codes from samples, the search for a step, and leaving out what says nothing.

A fit is told what errors cost by a metric, and when a step is small enough by a function of the step.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from ..fidelity import SiteSample
from .code import CodePlace, RelationCode, join_blocks
from .fit import Moments, fit_code
from .site_codec import SiteCodec

STEP_MARGIN = 1.1
"""A step is chosen so that its error stays this factor under the target, to meet it on other examples."""
_FINEST = 2.0**-20
"""Least step that is tried, relative to the spread of the coefficients, which then still fit float32 and int32."""

C = TypeVar("C", bound=SiteCodec)


def fit_codes(
    places: Sequence[CodePlace], samples: Sequence[SiteSample], metric: Mapping[str, Tensor]
) -> dict[str, RelationCode]:
    """The codes of a site by place, on the device of the samples, complete and with step 1; `metric` as in `fit_code`."""
    tensors, codes = samples[0].tensors, {}
    for place in places:
        moments = Moments(sum(tensors[block].shape[-1] for block in place.blocks))
        for sample in samples:
            moments.add(*valid_rows(place, sample))
        codes[place.name] = fit_code(moments, place.blocks, metric).to(tensors[place.blocks[0]].device)
    return codes


def valid_rows(place: CodePlace, sample: SiteSample) -> tuple[Tensor, Tensor]:
    """Valid rows [tokens, width] of a code and their token ids [tokens]."""
    valid = sample.valid[place.axis]
    return join_blocks(sample.tensors, place.blocks)[valid], sample.tokens[place.axis][valid]


def with_step(codec: C, step: float) -> C:
    """The same site with another step."""
    return _mapped(codec, lambda code: code.with_step(step))


def truncated(codec: C, rank: int) -> C:
    """The same site with that many components per code at most."""
    return _mapped(codec, lambda code: code.truncated(rank))


def _mapped(codec: C, change: Callable[[RelationCode], RelationCode]) -> C:
    return codec.replaced({name: change(code) for name, code in codec.codes.items()})


def largest_step(codec: SiteCodec, share: Callable[[float], float]) -> tuple[float, float]:
    """The largest step (3 digits) that uses up the target but for the margin, 0 where none is small enough; and the last share.

    `share` gives the error at a step relative to the target. It grows about with the square of the step, so a secant in
    logarithms converges in a few evaluations; the bracket makes it safe where it does not.
    """
    wanted, found = 1.0 / STEP_MARGIN, math.inf
    spread = max(float(code.spread.max()) for code in codec.codes.values())
    low, high, step = 0.0, math.inf, max(spread, 1e-6)
    floor = step * _FINEST
    for _ in range(30):
        found = share(step)
        low, high = (step, high) if found <= wanted else (low, step)
        if low and high / low < 1.02:
            break
        step = _next_step(step, found / wanted, low, high)
        if step < floor:
            break
    return float(f"{low:.3g}"), found


def _next_step(step: float, overshoot: float, low: float, high: float) -> float:
    guess = step * min(8.0, max(0.125, overshoot**-0.5 * 0.995)) if overshoot > 0 else step * 8.0
    if low < guess < high and (low == 0.0 or high == math.inf or guess / low > 1.01 < high / guess):
        return guess
    return math.sqrt(low * high) if low and high < math.inf else guess


def trim_rank(codec: C, samples: Sequence[SiteSample]) -> C:
    """Drop the trailing components that say nothing on any sample (at least one component stays).

    A component whose integers are all zero still says what its tokens' means do, and costs next to nothing.
    """
    codes = {}
    for place in codec.places:
        code = codec.codes[place.name]
        peaks = [code.encode(*valid_rows(place, sample)).abs().amax(0) for sample in samples]
        means = code.token_means.abs() > code.step / 2
        used = torch.stack([*(peak > 0 for peak in peaks), means.any(0)]).any(0).nonzero().flatten()
        codes[place.name] = code.truncated(int(used[-1]) + 1 if len(used) else 1)
    return codec.replaced(codes)
