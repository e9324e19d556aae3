"""Prediction between sites: a site's code holds only what the decoded tensors of the site below do not say.

The streams of neighbouring layers differ by the output of one block, and codes by themselves would pay for the common part again
in every layer. With x_k the rows of layer k, and ~ for what a reader decodes:

    ~x_1 = decoded C_1                          the ordinary code of the lowest layer
    r_k  = x_k - ~x_(k-1) P_k                   C_k is the code of r_k, with a step and a target of its own
    ~x_k = decoded C_k + ~x_(k-1) P_k

P_k and C_k are fitted on decoded ~x_(k-1), not on x_(k-1). So x_k - ~x_k = r_k - decoded C_k. The error of a layer is the error
of its own quantizer, and errors do not add up along the chain (as in closed-loop DPCM; N. S. Jayant, P. Noll, Digital Coding of
Waveforms, 1984, chapter 6).
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from ..fidelity import SiteSample
from .code import CodePlace, join_blocks
from .site_codec import SiteCodec

RIDGE = 1e-9
"""What is added to the diagonal of the second moment of ~x, relative to its trace."""


def fit_prediction(place: CodePlace, samples: Sequence[SiteSample]) -> Tensor:
    """Return P [width, width] float32, on the device of the samples: the best linear map from ~x to x, both about their means.

    The samples have the decoded tensors of the site below (`SiteSample.below`). Sums are float64 on the CPU, so that a
    calibration repeats to the bit.
    """
    width = sum(samples[0].tensors[block].shape[-1] for block in place.blocks)
    count, total = 0, torch.zeros(2 * width, dtype=torch.float64)
    square = torch.zeros(width, 2 * width, dtype=torch.float64)
    for sample in samples:
        valid = sample.valid[place.axis]
        pair = [join_blocks(tensors, place.blocks)[valid].float() for tensors in (sample.below, sample.tensors)]
        rows = torch.cat(pair, dim=-1).to("cpu", torch.float64)
        count, total, square = count + len(rows), total + rows.sum(0), square + rows[:, :width].T @ rows
    # P = (A^T A + ridge 1)^-1 A^T X  with the rows of A = ~x - mean ~x and of X = x - mean x
    centred = square - torch.outer(total[:width], total) / count
    below, cross = centred[:, :width], centred[:, width:]
    ridge = RIDGE * float(below.trace())
    if ridge <= 0:  # the site below is constant, and says nothing
        return torch.zeros(width, width).to(pair[0].device)
    solved: Tensor = torch.linalg.solve(below + ridge * torch.eye(width, dtype=torch.float64), cross)
    return solved.float().to(pair[0].device)


def chain_of(codecs: Mapping[str, SiteCodec], sites: Iterable[str]) -> list[str]:
    """Return these sites, and all sites that they are predicted from; each comes after the one that it is predicted from.

    Raises KeyError for a site without a codec.
    """
    needed, left = set[str](), list(sites)
    while left:
        site = left.pop()
        below = codecs[site].predicted_from
        left += [str(below)] if below and site not in needed else []
        needed.add(site)
    return [site for site in codecs if site in needed]


def decode_chain(
    codecs: Mapping[str, SiteCodec],
    sites: Iterable[str],
    coefficients: Mapping[str, Tensor],
    tokens: Mapping[str, Tensor],
) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of these sites by site and name, as `SiteCodec.decode` does; each site is decoded once.

    `codecs` has the lower layers of a stack first, as a cache has. A layer that only the next one needs is dropped at once.
    """
    wanted, decoded = set(sites), dict[str, dict[str, Tensor]]()
    for site in chain_of(codecs, wanted):
        below = str(codecs[site].predicted_from)
        decoded[site] = codecs[site].decode(coefficients, tokens, decoded.get(below, {}))
        if below not in wanted:
            decoded.pop(below, None)
    return decoded
