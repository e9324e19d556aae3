"""The ways to store Q, K and V that `rate_distortion.py` compares, each as a curve: bytes per token at a relation KL."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from miniend.signals.codes.code import CodePlace, RelationCode, join_blocks
from miniend.signals.codes.fit import Moments, fit_code
from miniend.signals.codes.site_fit import trim_rank
from miniend.signals.fidelity import MeanOf, SiteSample
from miniend.signals.relations.calibration import site_sensitivity
from miniend.signals.relations.codec import AttentionCodec
from miniend.signals.relations.fidelity import kl_by_heads, relation_kl
from miniend.storage.columns.columns import Column, write_column

Curve = Callable[[float], float | None]
Recoding = Callable[[CodePlace, Tensor, SiteSample, Tensor], Tensor]
ROWS = 48
"""The number of rows per example and relation to measure KL at."""


class Material:
    """One site: the project's codec for it, samples to fit on and samples to measure on."""

    def __init__(
        self, codec: AttentionCodec, fitting: Sequence[SiteSample], unseen: Sequence[SiteSample], kl_examples: int
    ) -> None:
        self.codec, self.fitting, self.unseen = codec, fitting, unseen
        self.measured = unseen[: max(1, kl_examples // 16)]
        self.metric = site_sensitivity(codec.relations, fitting, codec.inner, codec.inverse_temperature)
        self.inner = codec.inner
        self.fitted: dict[str, AttentionCodec] = {}

    def rows(self, place: CodePlace, samples: Sequence[SiteSample]) -> tuple[Tensor, Tensor]:
        """Return the valid rows [tokens, width] and their token ids."""
        valid = [sample.valid[place.axis] for sample in samples]
        rows = [join_blocks(s.tensors, place.blocks)[kept] for s, kept in zip(samples, valid, strict=True)]
        return torch.cat(rows), torch.cat([s.tokens[place.axis][kept] for s, kept in zip(samples, valid, strict=True)])

    def per_token(self, bytes_of: Mapping[str, float]) -> float:
        """One number of bytes per token of each place; for cross-attention both columns per input token."""
        tokens = {p.name: sum(int(s.valid[p.axis].sum()) for s in self.unseen) for p in self.codec.places}
        return sum(bytes_of[name] * tokens[name] for name in tokens) / max(tokens.values())

    def fit(self, metric: str, token_means: bool, dead_zone: bool) -> AttentionCodec:
        """A codec whose metric is `none`, `blocks` (one weight per block), `full`, or `heads` (a basis per relation head)."""
        name = f"{metric} {token_means} {dead_zone}"
        if name not in self.fitted:
            codes = {p.name: self._fit_place(p, metric, token_means, dead_zone) for p in self.codec.places}
            self.fitted[name] = self.codec.replaced(codes)
        return self.fitted[name]

    def _fit_place(self, place: CodePlace, metric: str, token_means: bool, dead_zone: bool) -> RelationCode:
        forms = self.metric
        even = torch.eye(self.inner, dtype=torch.float64)[None]
        if metric in ("none", "heads"):
            forms = dict.fromkeys(place.blocks, even)
        elif metric == "blocks":
            forms = {b: even * self.metric[b].diagonal(dim1=1, dim2=2).mean() for b in place.blocks}
        rows, tokens = self.rows(place, self.fitting)
        moments = Moments(rows.shape[1])
        moments.add(rows, tokens if token_means else torch.zeros_like(tokens))
        if metric == "heads":
            moments.square = _heads_apart(moments, self.inner // self.codec.heads)
        code = fit_code(moments, place.blocks, forms)
        return code if dead_zone else replace(code, spread=torch.full_like(code.spread, 1e30))

    def nats(self, codec: AttentionCodec) -> float:
        """KL of a codec on unseen examples, in nats: `_combined` at the default number of heads."""
        pairs = [(sample, codec.reconstruct(sample)) for sample in self.measured]
        found = kl_by_heads(codec, pairs, [codec.heads], ROWS)
        return _combined({kind: part for (kind, _), part in found.items()})

    def nats_of(self, recoded: Callable[[SiteSample], Mapping[str, Tensor]]) -> float:
        """Return the same for any recoding of samples."""
        total: dict[str, MeanOf] = {}
        for sample in self.measured:
            found = relation_kl(
                self.codec.relations, sample, recoded(sample), self.codec.heads, self.codec.inverse_temperature, ROWS
            )
            for kind, part in found.items():
                total.setdefault(kind, MeanOf()).add(part.total, part.count)
        return _combined(total)

    def at(self, codec: AttentionCodec, target: float) -> AttentionCodec:
        """The codec with the step at which its KL is the target, within half a per cent."""
        low, high, log_step = -math.inf, math.inf, math.log(max(float(c.step) for c in codec.codes.values()))
        for _ in range(16):
            stepped = _with_step(codec, math.exp(log_step))
            excess = math.log(max(self.nats(stepped), 1e-12) / target)
            if abs(excess) < 0.005:
                break
            low, high = (max(low, log_step), high) if excess < 0 else (low, min(high, log_step))
            guess = log_step - max(-2.0, min(2.0, excess / 2))
            log_step = guess if low < guess < high else (low + high) / 2
        return stepped

    def integers(self, codec: AttentionCodec) -> dict[str, np.ndarray]:
        """Per place, the integers [rank, tokens] of the unseen examples, ranks trimmed on the fitting ones."""
        trimmed = trim_rank(codec, self.fitting)
        return {p.name: trimmed.codes[p.name].encode(*self.rows(p, self.unseen)).T.numpy() for p in codec.places}


def _combined(kl: Mapping[str, MeanOf]) -> float:
    """Return the mean over QQ, KK and VV, or QK if that is greater."""
    same = [kl[kind].mean for kind in ("query", "key", "value")]
    return max(sum(same) / len(same), *(part.mean for kind, part in kl.items() if kind == "query_key"), 0.0)


def _heads_apart(moments: Moments, width: int) -> Tensor:
    """Return the second moment of rows whose relation heads are uncorrelated."""
    mean = moments.mean()
    head = torch.arange(len(mean)) // width
    covariance = moments.covariance() * (head[:, None] == head[None])
    return (covariance + torch.outer(mean, mean)) * moments.count


def _with_step(codec: AttentionCodec, step: float) -> AttentionCodec:
    return codec.replaced({name: code.with_step(step) for name, code in codec.codes.items()})


def entropy_bytes(integers: np.ndarray) -> float:
    """Return the order-0 entropy in bytes per token: the sum over components of the empirical entropy of their integers."""
    bits = 0.0
    for row in integers:
        p = np.unique(row, return_counts=True)[1] / len(row)
        bits -= float((p * np.log2(p)).sum())
    return bits / 8


def stored_bytes(integers: np.ndarray, codec: str) -> float:
    """Return the bytes per token of a column as the cache writes it."""
    with TemporaryDirectory() as folder:
        write_column(Path(folder), "column", Column(values=integers, axis="input"), codec)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return size / integers.shape[1]


def coded(
    metric: str, token_means: bool, dead_zone: bool, size: Callable[[np.ndarray], float] = entropy_bytes
) -> Callable[[Material], Curve]:
    """Return the curve of a basis, a step and an entropy coder."""

    def method(material: Material) -> Curve:
        def curve(target: float) -> float:
            found = material.at(material.fit(metric, token_means, dead_zone), target)
            return material.per_token({name: size(block) for name, block in material.integers(found).items()})

        return curve

    return method


def gaussian_bound(metric: str, token_means: bool) -> Callable[[Material], Curve]:
    """Return the rate of Gaussian components of the measured spectrum at the squared error of plain rounding at this KL."""

    def method(material: Material) -> Curve:
        def curve(target: float) -> float:
            found = material.at(material.fit(metric, token_means, False), target)
            bytes_of = {}
            for place in found.places:
                code = found.codes[place.name]
                exact = code.coefficients(*material.rows(place, material.unseen))
                error = float((exact - (exact / code.step).round() * code.step).square().mean(0).sum())
                bytes_of[place.name] = water_filling(exact.double().square().mean(0), error) / 8
            return material.per_token(bytes_of)

        return curve

    return method


def water_filling(variance: Tensor, error: float) -> float:
    """Return the bits of independent Gaussians at a total squared error (Cover & Thomas, theorem 10.3.3)."""
    low, high = 0.0, float(variance.max())
    for _ in range(60):
        level = (low + high) / 2
        low, high = (level, high) if float(variance.clamp_max(level).sum()) < error else (low, level)
    return float((variance / low).clamp_min(1.0).log2().sum() / 2)


def bfloat16(material: Material) -> Curve:
    """Return the curve of Q, K and V themselves."""
    nats = material.nats_of(lambda s: {kind: tensor.bfloat16().float() for kind, tensor in s.tensors.items()})
    rate = material.per_token({p.name: 2.0 * material.inner * len(p.blocks) for p in material.codec.places})
    return lambda target: rate if nats <= target else None


def layer_input(kind: str) -> Callable[[Material], Curve]:
    """Return the curve of the normed layer input of Q, K and V: `bf16`, or int8 scaled per `token` or per `channel`."""

    def method(material: Material) -> Curve:
        first = {p.name: f"{p.blocks[0]}_input" for p in material.codec.places}
        width = material.unseen[0].tensors[next(iter(first.values()))].shape[-1]
        scales = {
            name: torch.cat([s.tensors[name].reshape(-1, width) for s in material.fitting]).abs().amax(0) / 127
            for name in first.values()
        }

        def recoded(sample: SiteSample) -> dict[str, Tensor]:
            out = {}
            for place in material.codec.places:
                states = sample.tensors[first[place.name]]
                if kind == "bf16":
                    kept = states.bfloat16().float()
                else:
                    by_token = states.abs().amax(-1, keepdim=True).half().float() / 127
                    scale = (by_token if kind == "token" else scales[first[place.name]]).clamp_min(1e-12)
                    kept = (states / scale).round().clamp(-127, 127) * scale
                out |= {block: kept @ sample.tensors[f"{block}_weight"][0].T for block in place.blocks}
            return out

        nats = material.nats_of(recoded)
        each = {"bf16": 2.0 * width, "token": width + 2.0, "channel": float(width)}[kind]
        rate = material.per_token(dict.fromkeys(first, each))
        return lambda target: rate if nats <= target else None

    return method


def truncated(material: Material) -> Curve:
    """Return the curve of the strongest components of the joint basis in fp16, as few as suffice."""
    codec = _with_step(material.fit("none", False, False), 1e-4)

    def curve(target: float) -> float | None:
        low, high = 0, material.inner
        while high - low > 1:
            rank = (low + high) // 2
            kept = codec.replaced({name: code.truncated(rank) for name, code in codec.codes.items()})
            low, high = (low, rank) if material.nats(kept) <= target else (rank, high)
        return material.per_token(dict.fromkeys(codec.codes, 2.0 * high))

    return curve


YARDSTICK = "yardstick: joint basis, uniform step, order-0 entropy"
METHODS: dict[str, Callable[[Material], Curve]] = {
    "Q, K, V in bf16": bfloat16,
    "layer input in bf16": layer_input("bf16"),
    "layer input in int8, scale per token": layer_input("token"),
    "layer input in int8, scale per channel": layer_input("channel"),
    "joint basis, rank truncation, fp16": truncated,
    "basis per relation head, uniform step, order-0": coded("heads", False, False),
    YARDSTICK: coded("none", False, False),
    "  the same with one weight per block": coded("blocks", False, False),
    "  Gaussian bound at the yardstick's squared error": gaussian_bound("blocks", False),
    "metric of relation KL, uniform step, order-0": coded("full", False, False),
    "  with token means": coded("full", True, False),
    "  Gaussian bound at its squared error": gaussian_bound("full", True),
    "  with token means and dead zone (the cache), order-0": coded("full", True, True),
    "the cache as stored, pcodec": coded("full", True, True, lambda block: stored_bytes(block, "pcodec")),
    "the cache as stored, zstd": coded("full", True, True, lambda block: stored_bytes(block, "zstd")),
}
QUICK = (YARDSTICK, "the cache as stored, pcodec", "the cache as stored, zstd")
