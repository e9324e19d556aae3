"""Attention sites with Q, K and V of small rank: samples of them, codecs fitted to these, and how faithful they are."""

import torch

from miniend.signals.fidelity import SiteSample
from miniend.signals.kinds import kind_of
from miniend.signals.relations.calibration import calibrate_site
from miniend.signals.relations.fidelity import kl_by_heads
from miniend.signals.sites import Site
from support.attention import axes_at

TARGET = 1e-3
LENGTHS = {"input": 24, "target": 16}
SITES = [Site("encoder.self", 1), Site("decoder.self", 1), Site("decoder.cross", 1)]


def samples(site, batches, seed=0, scale=2.0, inner=16, padded=True):
    """Q, K, V as images of one small layer input each, so that their joint rank is that of the input."""
    fixed = torch.Generator().manual_seed(99)
    images = {kind: torch.randn(8, inner, generator=fixed) / 8**0.5 for kind in ("query", "key", "value")}
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(batches):
        states = {axis: torch.randn(3, length, 8, generator=generator) for axis, length in LENGTHS.items()}
        tensors = {kind: scale * states[axis] @ images[kind] for kind, axis in axes_at(site).items()}
        kept = {
            axis: torch.tensor([length, length - 3 * padded, length - 7 * padded]) for axis, length in LENGTHS.items()
        }
        valid = {axis: torch.arange(LENGTHS[axis])[None] < kept[axis][:, None] for axis in LENGTHS}
        tokens = {axis: torch.randint(9, valid[axis].shape, generator=generator) for axis in LENGTHS}
        found.append(SiteSample(tensors, valid, tokens))
    return found


def calibrated(site, temperature="published", target=TARGET, step=None, rank=None, scale=2.0, batches=6):
    seen, other = samples(site, batches, 1, scale), samples(site, 8, 2, scale)
    return calibrate_site(site, places_of(site), seen, other, 8, temperature, target, step, rank)


def worst_kl(codec, given):
    """The greatest mean KL over relations and numbers of heads, in nats."""
    return max(part.mean for part in kls(codec, given).values())


def kls(codec, given):
    """The mean KL by kind and number of heads."""
    return kl_by_heads(codec, [(sample, codec.reconstruct(sample)) for sample in given], codec.all_heads)


def places_of(site):
    return kind_of(site).places(site)
