"""The parts that the fits of all sites share: codes from samples, the search for a step, and dropping unused components.

The caller passes a metric that says what errors cost, and a function that says whether a step is small enough.
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
"""The search aims at the target divided by this factor, so that other examples meet the target too."""
_FINEST = 2.0**-20
"""The smallest step that is tried, relative to the spread of the coefficients, which then still fit float32 and int32."""

C = TypeVar("C", bound=SiteCodec)


def fit_codes(
    places: Sequence[CodePlace], samples: Sequence[SiteSample], metric: Mapping[str, Tensor]
) -> dict[str, RelationCode]:
    """Return the codes of a site by name of the place, complete and with step 1, on the device of the samples.

    `metric` is as in `fit_code`.
    """
    tensors, codes = samples[0].tensors, {}
    for place in places:
        moments = Moments(sum(tensors[block].shape[-1] for block in place.blocks))
        for sample in samples:
            moments.add(*valid_rows(place, sample))
        codes[place.name] = fit_code(moments, place.blocks, metric).to(tensors[place.blocks[0]].device)
    return codes


def valid_rows(place: CodePlace, sample: SiteSample) -> tuple[Tensor, Tensor]:
    """Return the valid rows [tokens, width] of a code and their token ids [tokens]."""
    valid = sample.valid[place.axis]
    return join_blocks(sample.tensors, place.blocks)[valid], sample.tokens[place.axis][valid]


def with_step(codec: C, step: float) -> C:
    """Return the codec with another step."""
    return _mapped(codec, lambda code: code.with_step(step))


def truncated(codec: C, rank: int) -> C:
    """Return the codec with at most `rank` components per code."""
    return _mapped(codec, lambda code: code.truncated(rank))


def _mapped(codec: C, change: Callable[[RelationCode], RelationCode]) -> C:
    return codec.replaced({name: change(code) for name, code in codec.codes.items()})


def largest_step(codec: SiteCodec, share: Callable[[float], float]) -> tuple[float, float]:
    """Return the largest step (3 digits) that meets the target with the margin, and the last share that was measured.

    The step is 0 if none that was tried is small enough. `share` returns the error at a step, divided by the target. It grows
    about with the square of the step, so a secant in logarithms converges in a few evaluations; where it does not, the bracket
    ends the search.
    """
    wanted, measured = 1.0 / STEP_MARGIN, math.inf
    spread = max(float(code.spread.max()) for code in codec.codes.values())
    low, high, step = 0.0, math.inf, max(spread, 1e-6)
    floor = step * _FINEST
    for _ in range(30):
        measured = share(step)
        low, high = (step, high) if measured <= wanted else (low, step)
        if low and high / low < 1.02:
            break
        step = _next_step(step, measured / wanted, low, high)
        if step < floor:
            break
    return float(f"{low:.3g}"), measured


def _next_step(step: float, overshoot: float, low: float, high: float) -> float:
    # share ~ step^2, so the target is met near step / sqrt(overshoot); 0.5 % less lands on the safe side
    guess = step * min(8.0, max(0.125, overshoot**-0.5 * 0.995)) if overshoot > 0 else step * 8.0
    if low < guess < high and (low == 0.0 or high == math.inf or guess / low > 1.01 < high / guess):
        return guess
    return math.sqrt(low * high) if low and high < math.inf else guess


def trim_rank(codec: C, samples: Sequence[SiteSample]) -> C:
    """Drop the trailing components that are not used by any sample (at least one component stays).

    A component whose integers are all zero still carries its tokens' means, and costs almost nothing.
    """
    codes = {}
    for place in codec.places:
        code = codec.codes[place.name]
        peaks = [code.encode(*valid_rows(place, sample)).abs().amax(0) for sample in samples]
        means = code.token_means.abs() > code.step / 2
        used = torch.stack([*(peak > 0 for peak in peaks), means.any(0)]).any(0).nonzero().flatten()
        codes[place.name] = code.truncated(int(used[-1]) + 1 if len(used) else 1)
    return codec.replaced(codes)
