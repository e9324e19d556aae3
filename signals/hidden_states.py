"""Fit the code of hidden states, the outputs of blocks, and measure how faithful it is.

The error of a site is relative: with `mean` the mean row of the calibration's basis examples,

    sum |x - decoded x|^2 / sum |x - mean|^2            over tokens

The energy is centred, which is the stricter choice. T5's hidden states have a few large and nearly constant directions, and
relative to |x|^2 a code that kept only these would look faithful. Errors in all directions count alike (metric 1).
"""

from collections.abc import Mapping, Sequence

import torch

from ..errors import ConfigurationError
from .codes.code import CodePlace
from .codes.site_codec import SiteCodec
from .codes.site_fit import fit_codes, largest_step, trim_rank, valid_rows, with_step
from .fidelity import MeanOf, SiteSample
from .sites import Site


def calibrate_hidden(
    site: Site,
    place: CodePlace,
    basis_samples: Sequence[SiteSample],
    step_samples: Sequence[SiteSample],
    target: float,
) -> SiteCodec:
    """Fit the code of one block's output, with the largest step whose relative squared error stays under the target.

    The error includes what trimming loses: the tokens' means in components that are dropped.
    Raises ConfigurationError if no step that float32 and int32 can hold reaches the target.
    """
    width = basis_samples[0].tensors["hidden"].shape[-1]
    metric = {"hidden": torch.eye(width, dtype=torch.float64)[None]}
    codec = SiteCodec(site=site, places=(place,), codes=fit_codes((place,), basis_samples, metric))

    def at(step: float) -> SiteCodec:
        return trim_rank(with_step(codec, step), [*basis_samples, *step_samples])

    step, best = largest_step(codec, lambda step: relative_error(measured_error(at(step), step_samples)) / target)
    if not step:
        raise ConfigurationError(
            f"{site}: no step reaches a relative squared error of {target:g} (the last one tried has {best:.2g} times that); "
            "raise --hidden-error"
        )
    return at(step)


def measured_error(codec: SiteCodec, samples: Sequence[SiteSample]) -> dict[str, MeanOf]:
    """Return `squared_error` and `energy`: the two sums above over the samples' valid tokens, and the number of tokens."""
    [place] = codec.places
    code = codec.codes[place.name]
    error, energy = MeanOf(), MeanOf()
    for sample in samples:
        rows, tokens = valid_rows(place, sample)
        lost = code.decode(code.encode(rows, tokens), tokens) - rows
        error.add(float(lost.double().square().sum()), len(rows))
        energy.add(float((rows.float() - code.mean).double().square().sum()), len(rows))
    return {"squared_error": error, "energy": energy}


def relative_error(measured: Mapping[str, MeanOf]) -> float:
    """Return the ratio of the two sums of `measured_error`; 0 if all rows equal the mean."""
    energy = measured["energy"].total
    return measured["squared_error"].total / energy if energy else 0.0
