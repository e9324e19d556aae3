"""One example of a cache as a student sees it; we decode its sites on demand."""

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
    """The next-token distributions of one example: per target position, a head of exact ids and draws from the tail.

    Lists are end to end; the list of position i is at starts[i] to starts[i + 1].
    """

    head_starts: Integers
    """Where each head begins, int64 [targets + 1]."""
    head_ids: Integers
    """The ids of the heads, by falling probability within a position, int32 [head entries]."""
    head_log_probabilities: Floats
    """The natural logarithms of their probabilities, normalized over the full vocabulary, float32 [head entries]."""
    tail_mass: Floats
    """The probability of everything that is not in the head, float32 [targets]."""
    draw_starts: Integers
    """Where each position's draws begin, int64 [targets + 1]."""
    draw_ids: Integers
    """The drawn ids, in which a repeat counts twice, int32 [draws]; empty for `top-k`, whose tail is one outcome."""
    draw_weights: Floats
    """The probability that each draw represents, float32 [draws]."""


@dataclass(frozen=True, slots=True)
class Example:
    """One example as a student sees it."""

    ids: Mapping[str, Integers]
    """Token ids by token axis, int32 [length], EOS included."""
    label_axis: str
    """The token axis of the ids that a student must predict."""
    relations: Mapping[str, Factors]
    """Q, K and V by full (`encoder.self@11`) or short (`encoder.self`) site name, decoded on demand."""
    hidden: Mapping[str, Floats]
    """The outputs of layers, float32 [length, d_model], by site name (`encoder.hidden@6`), decoded on demand."""
    logits: SparseLogits | None
    """The next-token distributions; None for a cache without them."""

    @property
    def input_ids(self) -> Integers:
        """The ids that the first stack reads, int32 [n], EOS included."""
        return next(iter(self.ids.values()))

    @property
    def labels(self) -> Integers:
        """The ids that a student must predict, int32 [m], EOS included."""
        return self.ids[self.label_axis]


@dataclass(frozen=True, slots=True)
class Decoders:
    """The decoders of a cache: everything that turns its integers into examples."""

    family: Family
    special_ids: SpecialIds
    codecs: Mapping[str, SiteCodec]
    """The codecs by full site name."""
    logit_code: LogitCode | None

    def codecs_of(self, member: str) -> dict[str, SiteCodec]:
        """Return the codecs of the kinds that a plan lists under `relations` or `hidden`, by full site name."""
        return {name: codec for name, codec in self.codecs.items() if kind_of(codec.site).member == member}


@dataclass(frozen=True, slots=True)
class _Stored:
    """One example in a shard."""

    shard: LoadedShard
    spans: dict[str, slice]
    """Where its tokens are on each axis."""
    tokens: dict[str, torch.Tensor]
    """The ids that the stacks were given, by axis."""

    def decode(self, codec: SiteCodec) -> dict[str, Floats]:
        """Return the tensors of a site by kind."""
        coefficients = {}
        for column, place in codec.columns.items():
            stored = self.shard.column(column)[:, self.spans[place.axis]].T
            coefficients[column] = torch.from_numpy(stored.astype(np.int32))
        return {kind: tensor.numpy() for kind, tensor in codec.decode(coefficients, self.tokens).items()}


class _Decoded(Mapping[str, T]):
    """The sites of one example, decoded on demand; `form` turns the tensors of a site into its value."""

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
    """Return example `index` of a shard."""
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
    decoded = code.decode(stored.positions(span.start, span.stop))
    return SparseLogits(
        head_starts=stored.head_starts[span.start : span.stop + 1] - stored.head_starts[span.start],
        head_ids=decoded.head_ids.numpy().astype(np.int32),
        head_log_probabilities=decoded.head_log_p.numpy(),
        tail_mass=decoded.tail_mass.numpy(),
        draw_starts=stored.draw_starts[span.start : span.stop + 1] - stored.draw_starts[span.start],
        draw_ids=decoded.draw_ids.numpy().astype(np.int32),
        draw_weights=decoded.draw_weight.numpy(),
    )
