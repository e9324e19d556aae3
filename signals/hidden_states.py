"""Fit the code of hidden states, the outputs of blocks, and measure how faithful it is.

A layer above another stored layer of its stack can be predicted from that layer's decoded states (`codes/prediction.py`). The
error of a site is relative. With ~x for what a reader decodes, and `mean` the mean state of the calibration's basis examples:

    sum |x - ~x|^2 / sum |x - mean|^2            over tokens

The energy is centred, which is the stricter choice. T5's hidden states have a few large and nearly constant directions, and
relative to |x|^2 a code that kept only these would look faithful. Errors in all directions count alike (metric 1).

Students may be trained on n(x) = x / rms(x), because the scale of a T5's stream grows with depth and differs between tokens. Then
tokens with weak states weigh more, so we measure the same ratio of n(x) as well.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from ..errors import ConfigurationError
from .codes.code import CodePlace
from .codes.prediction import fit_prediction
from .codes.site_codec import SiteCodec
from .codes.site_fit import fit_codes, largest_step, trim_rank, valid_rows, with_step
from .fidelity import MeanOf, SiteSample
from .matching.row_norms import over_rms
from .sites import Site

CENTRES = "centres"
"""The name of the array of a site's mean states."""
RAW = ("squared_error", "energy")
"""The two sums of the relative error of x, as calibration and shards record them."""
NORMALIZED = ("normalized_squared_error", "normalized_energy")
"""The two sums of the relative error of n(x)."""

CONTINUED = "continued_kl"
"""The KL in nats of the teacher's predictions when it goes on from decoded states; calibration measures it once per stack."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StateCodec(SiteCodec):
    """The encoder and decoder of the states of one layer."""

    centres: Tensor
    """The means of x and of n(x) over the basis examples, float32 [2, d]; needed only to measure."""

    def to(self, device: torch.device | str) -> Self:
        """Return the codec with its tensors on a device."""
        return replace(SiteCodec.to(self, device), centres=self.centres.to(device))

    def arrays(self) -> dict[str, Tensor]:
        """Return the arrays of the code and of its prediction, and the centres, by name."""
        return {**SiteCodec.arrays(self), f"{self.site}.{CENTRES}": self.centres}


def calibrate_hidden(
    site: Site,
    place: CodePlace,
    basis_samples: Sequence[SiteSample],
    step_samples: Sequence[SiteSample],
    target: float,
    below: Site | None = None,
) -> StateCodec:
    """Fit the code of one block's output, with the largest step whose relative squared error stays under the target.

    If `below` names a site, its decoded states predict these, and the samples have them. The error includes what trimming
    loses: the tokens' means in components that are dropped.
    Raises ConfigurationError if no step that float32 and int32 can hold reaches the target.
    """
    width = basis_samples[0].tensors["hidden"].shape[-1]
    metric = {"hidden": torch.eye(width, dtype=torch.float64)[None]}
    codec = StateCodec(
        site=site,
        places=(place,),
        codes={},
        predicted_from=below,
        predictions={place.name: fit_prediction(place, basis_samples)} if below else {},
        centres=_centres(place, basis_samples),
    )
    basis, chosen_on = ([codec.remainder(one) for one in samples] for samples in (basis_samples, step_samples))
    remainder = SiteCodec(site=site, places=(place,), codes=fit_codes((place,), basis, metric))
    allowed = target * sum(_square(valid_rows(place, one)[0] - codec.centres[0]) for one in step_samples)

    def at(step: float) -> SiteCodec:
        return trim_rank(with_step(remainder, step), [*basis, *chosen_on])

    step, best = largest_step(remainder, lambda step: _share(_lost(at(step), chosen_on), allowed))
    if not step:
        raise ConfigurationError(
            f"{site}: no step reaches a relative squared error of {target:g} (the last one tried has {best:.2g} times that); "
            "raise --hidden-error"
        )
    return codec.replaced(at(step).codes)


def measured_error(codec: StateCodec, samples: Sequence[SiteSample]) -> dict[str, MeanOf]:
    """Return the sums of the relative errors of x (RAW) and of n(x) (NORMALIZED) over the samples' valid tokens."""
    [place] = codec.places
    sums = {name: MeanOf() for name in (*RAW, *NORMALIZED)}
    for sample in samples:
        rows = valid_rows(place, sample)[0].float()
        decoded = codec.decoded(codec.encode(sample), sample)["hidden"][sample.valid[place.axis]]
        pairs = (rows, decoded), (over_rms(rows), over_rms(decoded))
        for (error, energy), (x, y), centre in zip((RAW, NORMALIZED), pairs, codec.centres, strict=True):
            sums[error].add(_square(y - x), len(x))
            sums[energy].add(_square(x - centre), len(x))
    return sums


def relative_error(measured: Mapping[str, MeanOf], names: tuple[str, str] = RAW) -> float:
    """Return the ratio of two sums of `measured_error`, RAW or NORMALIZED; 0 if all rows equal their mean."""
    error, energy = names
    return _share(measured[error].total, measured[energy].total)


def mean_cosine(measured: Mapping[str, MeanOf], width: int) -> float:
    """Return the mean cosine of states and decoded states, from the sums of `measured_error` over tokens of a width."""
    # |n(x) - n(~x)|^2 = 2 d (1 - cos), for |n(x)|^2 = d
    return 1.0 - measured[NORMALIZED[0]].mean / (2 * width)


def _share(error: float, energy: float) -> float:
    return error / energy if energy else 0.0


def _lost(codec: SiteCodec, samples: Iterable[SiteSample]) -> float:
    """Return the squared error of the only code of a site over samples of what it codes."""
    [place] = codec.places
    code, lost = codec.codes[place.name], 0.0
    for sample in samples:
        rows, tokens = valid_rows(place, sample)
        lost += _square(code.decode(code.encode(rows, tokens), tokens) - rows)
    return lost


def _square(rows: Tensor) -> float:
    return float(rows.double().square().sum())


def _centres(place: CodePlace, samples: Sequence[SiteSample]) -> Tensor:
    """Return the means of x and of n(x), float32 [2, d], summed in float64 on the CPU."""
    count, total = 0, torch.zeros(2, 1, dtype=torch.float64)
    for sample in samples:
        rows = valid_rows(place, sample)[0]
        both = torch.stack([rows.float(), over_rms(rows.float())]).to("cpu", torch.float64)
        count, total = count + len(rows), total + both.sum(1)
    return (total / count).float().to(samples[0].tensors["hidden"].device)
