"""The codes of several layers that `stacks.py` compares: by themselves, predicted from the layer below, and jointly."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from miniend.models.layer_maps import uniform
from miniend.signals.codes.code import CodePlace
from miniend.signals.codes.prediction import fit_prediction
from miniend.signals.codes.site_codec import SiteCodec
from miniend.signals.codes.site_fit import fit_codes, largest_step, trim_rank, valid_rows, with_step
from miniend.signals.fidelity import SiteSample, head_sample
from miniend.signals.hidden_states import calibrate_hidden, measured_error, relative_error
from miniend.signals.kinds import kind_of
from miniend.signals.relations.calibration import calibrate_site, search_step
from miniend.signals.relations.relations import default_relation_heads
from miniend.signals.relations.sensitivity import sensitivity
from miniend.signals.sites import Site

Batches = Sequence[SiteSample]
PARTS = ("basis", "step", "unseen")
SENSITIVITY_EXAMPLES = 32


@dataclass(frozen=True)
class Layers:
    """Samples of some layers of one stack, the lower ones first: for each part a list of batches by layer."""

    sites: tuple[Site, ...]
    axis: str
    basis: Sequence[Batches]
    step: Sequence[Batches]
    unseen: Sequence[Batches]
    known: dict[tuple[Site, float], SiteCodec] = field(default_factory=dict)
    """The codecs of layers by themselves that were fitted before, by site and error."""

    @property
    def tokens(self) -> int:
        """The number of measured tokens."""
        return sum(int(sample.valid[self.axis].sum()) for sample in self.unseen[0])

    def uniform(self, count: int) -> "Layers":
        """Return `count` layers at equal distances, the last one included."""
        chosen = [layer for _, layer in uniform(count, len(self.sites))]
        parts = {part: [getattr(self, part)[layer] for layer in chosen] for part in PARTS}
        return Layers(tuple(self.sites[layer] for layer in chosen), self.axis, **parts, known=self.known)


@dataclass(frozen=True)
class Coded:
    """The measured examples as integers [rank, tokens] by column."""

    integers: Mapping[str, np.ndarray]
    errors: Sequence[float]
    """The relative squared errors by layer, or of all layers together."""
    tokens: int
    codecs: Sequence[SiteCodec] = ()
    ids: Mapping[str, Tensor] | None = None
    """The token ids of the columns, by axis."""
    seconds: float = 0.0
    """The time of turning states into integers."""


def separate(layers: Layers, error: float) -> Coded:
    """Code each layer by itself."""
    return _chained(layers, error, predict=False)


def predicted(layers: Layers, error: float) -> Coded:
    """Code each layer as what the decoded layer below does not say."""
    return _chained(layers, error, predict=True)


def _chained(layers: Layers, error: float, predict: bool) -> Coded:
    codecs: list[SiteCodec] = []
    integers: dict[str, np.ndarray] = {}
    errors, seconds, under = [], 0.0, None
    for number, site in enumerate(layers.sites):
        own = {part: list(getattr(layers, part)[number]) for part in PARTS}
        if predict and under is not None:
            own = {part: on_top_of(codecs[-1], under[part], own[part]) for part in PARTS}
        [place] = kind_of(site).places(site)
        below = codecs[-1].site if predict and codecs else None
        codec = None if below else layers.known.get((site, error))
        codec = codec or calibrate_hidden(site, place, own["basis"], own["step"], error, below)
        if not below:
            layers.known[site, error] = codec
        begun = perf_counter()
        columns = [codec.encode(sample) for sample in own["unseen"]]
        seconds += perf_counter() - begun
        integers |= joined(columns)
        errors.append(relative_error(measured_error(codec, own["unseen"])))
        codecs.append(codec)
        under = own
    ids = {layers.axis: torch.cat([one.tokens[layers.axis][one.valid[layers.axis]] for one in layers.unseen[0]])}
    return Coded(integers, errors, layers.tokens, codecs, ids, seconds)


def on_top_of(codec: SiteCodec, under: Batches, samples: Batches) -> list[SiteSample]:
    """Return samples with the decoded tensors of the layer below, whose codec and samples are given."""
    return [
        replace(sample, below=codec.decoded(codec.encode(one), one)) for one, sample in zip(under, samples, strict=True)
    ]


def joined(columns: Sequence[Mapping[str, Tensor]]) -> dict[str, np.ndarray]:
    """Return the columns of all batches end to end, in 16 bits if they fit, as a shard has them."""
    found = {}
    for name in columns[0]:
        whole = torch.cat([one[name] for one in columns], dim=1).numpy()
        narrow = whole.astype(np.int16)
        found[name] = narrow if np.array_equal(narrow, whole) else whole
    return found


def joint(layers: Layers, error: float) -> Coded:
    """Code all layers in one basis; each is divided by the root of its centred energy, so that relative errors count alike."""
    names = tuple(f"layer{site.layer}" for site in layers.sites)
    place = CodePlace("joint", names, layers.axis, "joint")
    scales = [energy(place, batches) ** -0.5 for batches in layers.basis]
    basis, chosen_on, unseen = (list(side_by_side(getattr(layers, part), names, scales)) for part in PARTS)
    width = basis[0].tensors[names[0]].shape[-1]
    metric = {name: torch.eye(width, dtype=torch.float64)[None] for name in names}
    codec = SiteCodec(site=layers.sites[-1], places=(place,), codes=fit_codes((place,), basis, metric))

    def at(step: float) -> SiteCodec:
        return trim_rank(with_step(codec, step), [*basis, *chosen_on])

    step, _ = largest_step(codec, lambda step: lost(place, at(step), chosen_on) / error)
    final = at(step)
    return Coded(joined([final.encode(one) for one in unseen]), [lost(place, final, unseen)], layers.tokens)


def energy(place: CodePlace, batches: Batches) -> float:
    """Return the centred energy per token of one layer's states."""
    rows = torch.cat([one.tensors["hidden"][one.valid[place.axis]] for one in batches]).double()
    return float((rows - rows.mean(0)).square().sum(-1).mean())


def side_by_side(layers: Sequence[Batches], names: Sequence[str], scales: Sequence[float]) -> Iterator[SiteSample]:
    """Yield samples that have every layer as a tensor of its own name, scaled."""
    for batch in zip(*layers, strict=True):
        parts = zip(names, batch, scales, strict=True)
        yield replace(batch[0], tensors={name: one.tensors["hidden"] * scale for name, one, scale in parts})


def lost(place: CodePlace, codec: SiteCodec, samples: Batches) -> float:
    """Return the squared error per token and layer: each layer's centred energy is 1."""
    code, total, count = codec.codes[place.name], 0.0, 0
    for sample in samples:
        rows, tokens = valid_rows(place, sample)
        total += float((code.decode(code.encode(rows, tokens), tokens) - rows).double().square().sum())
        count += len(rows)
    return total / count / len(place.blocks)


def of_attention(layers: Layers, kl: float, predict: bool) -> Coded:
    """Code Q, K and V of each layer at a mean relation KL, by themselves or predicted from the decoded layer below."""
    codecs: list[SiteCodec] = []
    integers: dict[str, np.ndarray] = {}
    under = None
    for number, site in enumerate(layers.sites):
        own = {part: list(getattr(layers, part)[number]) for part in PARTS}
        places = kind_of(site).places(site)
        heads = default_relation_heads(own["basis"][0].tensors["query"].shape[-1])
        codec = calibrate_site(site, places, own["basis"], own["step"], heads, "published", kl, None, None)
        if predict and under is not None:
            own = {part: on_top_of(codecs[-1], under[part], own[part]) for part in PARTS}
            codec = replace(
                codec,
                predicted_from=codecs[-1].site,
                predictions={places[0].name: fit_prediction(places[0], own["basis"])},
            )
            remainders = {part: [codec.remainder(one) for one in own[part]] for part in ("basis", "step")}
            shown = head_sample(own["basis"], SENSITIVITY_EXAMPLES)
            metric = sensitivity(codec.relations, shown, heads, codec.inverse_temperature)
            whole = codec.replaced(fit_codes(places, remainders["basis"], metric))
            chosen = with_step(whole, search_step(whole, own["step"], kl))
            trimmed = trim_rank(chosen, [*remainders["basis"], *remainders["step"]])
            codec = codec.replaced(trimmed.codes)
        integers |= joined([codec.encode(sample) for sample in own["unseen"]])
        codecs.append(codec)
        under = own
    return Coded(integers, (), layers.tokens, codecs)
