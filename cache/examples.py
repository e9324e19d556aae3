"""One example of a cache as a student sees it; we decode its sites on demand."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from ..errors import CacheMismatchError
from ..models.families import Family, SpecialIds
from ..signals.codes.site_codec import SiteCodec
from ..signals.kinds import kind_of
from ..signals.logits.code import LogitCode, LogitIntegers
from ..signals.sites import find_site
from ..storage.columns.lists import starts_of
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


@dataclass(frozen=True, slots=True, repr=False)
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

    def __repr__(self) -> str:
        return f"<{len(self.tail_mass)} positions, {len(self.head_ids)} entries in heads, {len(self.draw_ids)} draws>"


@dataclass(frozen=True, slots=True, repr=False)
class Example:
    """One example as a student sees it."""

    ids: Mapping[str, Integers]
    """Token ids by token axis, int32 [length], EOS included."""
    label_axis: str | None
    """The token axis of the ids that a student must predict; None for an encoder without decoder, which predicts none."""
    relations: Mapping[str, Factors]
    """Q, K and V by full (`encoder.self@11`) or short (`encoder.self`) site name, decoded on demand."""
    hidden: Mapping[str, Floats]
    """The outputs of layers and final norms, float32 [length, d_model], by site name (`encoder.hidden@6`), decoded on demand."""
    logits: SparseLogits | None
    """The next-token distributions; None for a cache without lists (with --logits from-hidden: `Cache.log_probabilities`)."""

    @property
    def input_ids(self) -> Integers:
        """The ids that the first stack reads, int32 [n], EOS included."""
        return next(iter(self.ids.values()))

    @property
    def labels(self) -> Integers:
        """The ids that a student must predict, int32 [m], EOS included. Raises CacheMismatchError for an encoder's example."""
        if self.label_axis is None:
            raise CacheMismatchError(
                "an example of an encoder without decoder does not have labels; read its input_ids and hidden"
            )
        return self.ids[self.label_axis]

    def __repr__(self) -> str:
        lengths = ", ".join(f"{len(ids)} {axis} ids" for axis, ids in self.ids.items())
        return f"<Example: {lengths}, relations {self.relations!r}, hidden {self.hidden!r}, logits {self.logits!r}>"


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
class StoredExample:
    """The integers of one example."""

    ids: dict[str, Integers]
    """Token ids by axis, int32 [length]."""
    rows: Callable[[str, str], np.ndarray[Any, np.dtype[Any]]]
    """Returns the integers [rank, length] of a column, given its name and its axis."""
    logits: LogitIntegers | None
    """The integers of the target positions; None for a cache without distributions."""


class Sites(Mapping[str, T]):
    """Values by site, found by full (`encoder.self@11`) or short (`encoder.self`) name; `make` gives the value of a full name."""

    def __init__(self, names: Sequence[str], make: Callable[[str], T]) -> None:
        self._names, self._make = tuple(names), make

    def __getitem__(self, name: str) -> T:
        return self._make(find_site(name, self._names))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<{', '.join(self._names) or 'nothing'}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _decoded_sites, (dict(self.items()),)


def _decoded_sites(values: dict[str, T]) -> Sites[T]:
    return Sites(list(values), values.__getitem__)


def stored_in(decoders: Decoders, shard: LoadedShard, index: int) -> StoredExample:
    """Return the integers of example `index` of a shard."""
    spans = {}
    for axis in decoders.family.axes:
        offsets = shard.column(f"{axis}s.offsets")
        spans[axis] = slice(int(offsets[index]), int(offsets[index + 1]))
    ids = {axis: shard.column(f"{axis}s.ids")[span].astype(np.int32) for axis, span in spans.items()}
    labels = spans[decoders.family.label_axis]
    return StoredExample(
        ids,
        lambda column, axis: shard.column(column)[:, spans[axis]],
        shard.logits.positions(labels.start, labels.stop) if decoders.logit_code else None,
    )


def decoded_example(decoders: Decoders, stored: StoredExample) -> Example:
    """Return an example whose sites are decoded when they are asked for."""
    sites = _SiteDecoder(decoders, stored)
    return Example(
        ids=stored.ids,
        label_axis=decoders.family.label_axis if decoders.family.predicts else None,
        relations=Sites(list(decoders.codecs_of("relations")), lambda name: Factors(**sites.arrays(name))),
        hidden=Sites(list(decoders.codecs_of("hidden")), lambda name: sites.arrays(name)["hidden"]),
        logits=_logits(decoders.logit_code, stored.logits),
    )


class _SiteDecoder:
    """Decodes the sites of one example. It keeps the latest layer of a chain, so that reading upwards decodes each layer once."""

    def __init__(self, decoders: Decoders, stored: StoredExample) -> None:
        self._codecs, self._stored = decoders.codecs, stored
        single = {axis: torch.from_numpy(values)[None] for axis, values in stored.ids.items()}
        given = decoders.family.given(single, decoders.special_ids)
        self._tokens = {axis: ids[0] for axis, ids in given.items()}
        self._latest: dict[str, tuple[str, Mapping[str, torch.Tensor]]] = {}

    def arrays(self, site: str) -> dict[str, Floats]:
        """Return the tensors of a site by name, which are the caller's own."""
        return {name: tensor.numpy().copy() for name, tensor in self._tensors(site).items()}

    def _tensors(self, site: str) -> Mapping[str, torch.Tensor]:
        codec = self._codecs[site]
        latest, tensors = self._latest.get(codec.site.name, ("", {}))
        if latest == site:
            return tensors
        below = self._tensors(str(codec.predicted_from)) if codec.predicted_from else {}
        integers = {
            column: torch.from_numpy(self._stored.rows(column, place.axis).T.astype(np.int32))
            for column, place in codec.columns.items()
        }
        tensors = codec.decode(integers, self._tokens, below)
        if codec.predicted_from or any(other.predicted_from == codec.site for other in self._codecs.values()):
            self._latest[codec.site.name] = site, tensors
        return tensors


def _logits(code: LogitCode | None, stored: LogitIntegers | None) -> SparseLogits | None:
    if code is None or stored is None:
        return None
    decoded = code.decode(stored)
    return SparseLogits(
        head_starts=starts_of(stored.head_sizes.numpy()),
        head_ids=decoded.head_ids.numpy().astype(np.int32),
        head_log_probabilities=decoded.head_log_p.numpy(),
        tail_mass=decoded.tail_mass.numpy(),
        draw_starts=starts_of(stored.draw_sizes.numpy()),
        draw_ids=decoded.draw_ids.numpy().astype(np.int32),
        draw_weights=decoded.draw_weight.numpy(),
    )
