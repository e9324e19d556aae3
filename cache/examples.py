"""One example of a cache as a student sees it, decoded when it is asked for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar

import numpy as np
import torch

from ..models.families import Family, SpecialIds
from ..signals.codes.site_codec import SiteCodec
from ..signals.kinds import kind_of
from ..signals.logits.code import LogitCode
from ..signals.sites import find_site
from .shards import LoadedShard

Floats = np.ndarray[Any, np.dtype[np.float32]]
Integers = np.ndarray[Any, np.dtype[np.int32]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Factors:
    """Q, K and V of one site for one example, float32 [length, inner] each."""

    query: Floats
    key: Floats
    value: Floats


@dataclass(frozen=True, slots=True)
class SparseLogits:
    """Next-token distributions of one example: per target position a head of exact ids and draws from the tail.

    Lists lie end to end; those of position i are at starts[i] to starts[i + 1].
    """

    head_starts: Integers
    """int64 [targets + 1]"""
    head_ids: Integers
    """int32 [head entries], by falling probability within a position"""
    head_log_probabilities: Floats
    """float32 [head entries], natural logarithms under the full-vocabulary normalizer"""
    tail_mass: Floats
    """float32 [targets], probability of everything that is not in the head"""
    draw_starts: Integers
    """int64 [targets + 1]"""
    draw_ids: Integers
    """int32 [draws], a repeat counts twice; none for `top-k`, whose tail is one outcome"""
    draw_weights: Floats
    """float32 [draws], the probability that each draw stands for"""


@dataclass(frozen=True, slots=True)
class Example:
    """One example as a student sees it."""

    ids: Mapping[str, Integers]
    """By token axis: int32 [length], EOS included"""
    label_axis: str
    """The token axis of what a student is to predict."""
    relations: Mapping[str, Factors]
    """By full (`encoder.self@11`) or short (`encoder.self`) site name, decoded when asked for."""
    hidden: Mapping[str, Floats]
    """The same of hidden states (`encoder.hidden@6`): the output of a layer, float32 [length, d_model]."""
    logits: SparseLogits | None

    @property
    def input_ids(self) -> Integers:
        """What the first stack reads: int32 [n], EOS included."""
        return next(iter(self.ids.values()))

    @property
    def labels(self) -> Integers:
        """What a student is to predict: int32 [m], EOS included."""
        return self.ids[self.label_axis]


@dataclass(frozen=True, slots=True)
class Decoders:
    """What turns the integers of a cache into examples."""

    family: Family
    special_ids: SpecialIds
    codecs: Mapping[str, SiteCodec]
    """By full site name."""
    logit_code: LogitCode | None

    def codecs_of(self, member: str) -> dict[str, SiteCodec]:
        """Return the codecs of the kinds that a plan lists under `relations` or `hidden`, by full site name."""
        return {name: codec for name, codec in self.codecs.items() if kind_of(codec.site).member == member}


@dataclass(frozen=True, slots=True)
class _Stored:
    """Where one example lies in a shard, and what encoder and decoder were given there, by axis."""

    shard: LoadedShard
    spans: dict[str, slice]
    tokens: dict[str, torch.Tensor]

    def decode(self, codec: SiteCodec) -> dict[str, Floats]:
        """The tensors of a site by kind."""
        coefficients = {}
        for column, place in codec.columns.items():
            stored = self.shard.column(column)[:, self.spans[place.axis]].T
            coefficients[column] = torch.from_numpy(stored.astype(np.int32))
        return {kind: tensor.numpy() for kind, tensor in codec.decode(coefficients, self.tokens).items()}


class _Decoded(Mapping[str, T]):
    """Decodes the sites of one example on demand, in the form that `form` gives to their tensors."""

    def __init__(
        self, codecs: Mapping[str, SiteCodec], stored: _Stored, form: Callable[[dict[str, Floats]], T]
    ) -> None:
        self._codecs, self._stored, self._form = codecs, stored, form

    def __getitem__(self, name: str) -> T:
        return self._form(self._stored.decode(self._codecs[find_site(name, list(self._codecs))]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._codecs)

    def __len__(self) -> int:
        return len(self._codecs)


def decoded_example(decoders: Decoders, shard: LoadedShard, index: int) -> Example:
    family, ids, spans = decoders.family, {}, {}
    for axis in family.axes:
        offsets = shard.column(f"{axis}s.offsets")
        spans[axis] = slice(int(offsets[index]), int(offsets[index + 1]))
        ids[axis] = shard.column(f"{axis}s.ids")[spans[axis]].astype(np.int32)
    single = {axis: torch.from_numpy(values)[None] for axis, values in ids.items()}
    given = family.given(single, decoders.special_ids)
    stored = _Stored(shard, spans, {axis: tokens[0] for axis, tokens in given.items()})
    return Example(
        ids=ids,
        label_axis=family.label_axis,
        relations=_Decoded(decoders.codecs_of("relations"), stored, lambda tensors: Factors(**tensors)),
        hidden=_Decoded(decoders.codecs_of("hidden"), stored, itemgetter("hidden")),
        logits=_logits(decoders.logit_code, shard, spans[family.label_axis]),
    )


def _logits(code: LogitCode | None, shard: LoadedShard, span: slice) -> SparseLogits | None:
    if code is None:
        return None
    stored = shard.logits
    found = code.decode(stored.positions(span.start, span.stop))
    return SparseLogits(
        head_starts=stored.head_starts[span.start : span.stop + 1] - stored.head_starts[span.start],
        head_ids=found.head_ids.numpy().astype(np.int32),
        head_log_probabilities=found.head_log_p.numpy(),
        tail_mass=found.tail_mass.numpy(),
        draw_starts=stored.draw_starts[span.start : span.stop + 1] - stored.draw_starts[span.start],
        draw_ids=found.draw_ids.numpy().astype(np.int32),
        draw_weights=found.draw_weight.numpy(),
    )
