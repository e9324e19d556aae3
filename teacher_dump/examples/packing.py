"""Turn documents into examples of raw ids: fixed-length segments for span corruption, or pairs of input and target.

Public codes differ in two choices, which are fixed here:

- *No EOS between documents.* T5 concatenates bare documents (Raffel et al. 2020, span_corruption in t5/data/preprocessors.py);
  Hugging Face's flax script and nanoT5 put one after each. We do as T5 did; the plan records it.
- *Whole documents.* T5 takes one random chunk of at most 65,536 tokens per document. We keep every token, so that nothing
  depends on chance and a cursor can say where a segment begins.

Segment i depends on all documents before it. So every segment comes with the cursor at which the next one begins. Packing can
continue from any cursor, even in the middle of a document, and gives the same segments as an unbroken run.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ...errors import ConfigurationError, CorpusError
from ..corpus.plain_text import EncodeBatch
from ..corpus.stream_order import seeded_draw

EOS_BETWEEN_DOCUMENTS = False
BATCH = 64
"""The number of documents per tokenizer call, to keep its threads busy; it does not affect the result."""

Ids = npt.NDArray[np.int32]
T = TypeVar("T")
TDocument = TypeVar("TDocument", tuple[int, str], tuple[int, str, str])


@dataclass(frozen=True, slots=True)
class SegmentCursor:
    """Where the next example begins: a document, counted in the mixed and shuffled stream, and a token inside it.

    The offset may equal the document's length; the example then begins in the next document that has tokens.
    """

    document: int = 0
    offset: int = 0


START = SegmentCursor()


def is_validation(seed: int, document_index: int, share: float) -> bool:
    """Return whether we keep a whole document for validation: true for about `share` of all, by a hash of seed and index."""
    return seeded_draw("held-out", seed, document_index) < share * 2.0**64


def pack_segments(
    documents: Iterable[tuple[int, str]], encode_batch: EncodeBatch, length: int, start: SegmentCursor = START
) -> Iterator[tuple[Ids, SegmentCursor]]:
    """Yield ([length] int32 raw ids, cursor of the following segment); we drop a remainder at the end.

    `documents` are (index in the stream, text), with ascending indices, already filtered (training or validation). We skip the
    documents before `start` without tokenizing them. The cursor must come from the same stream. Raises ConfigurationError for
    a length below 1, and CorpusError if the document of `start` is missing or shorter than its offset.
    """
    if length < 1:
        raise ConfigurationError(f"a segment needs at least one token, found length {length}")
    open_tokens = np.empty(0, dtype=np.int32)  # always shorter than a segment here, so a cut is in the newest document
    for index, ids in _encoded(_from(documents, start), encode_batch):
        open_tokens = np.concatenate([open_tokens, ids[_offset_in(index, ids.size, start) :]])
        while open_tokens.size >= length:
            segment, open_tokens = open_tokens[:length], open_tokens[length:]
            yield segment.copy(), SegmentCursor(index, ids.size - open_tokens.size)


def pack_pairs(
    documents: Iterable[tuple[int, str, str]],
    encode_batch: EncodeBatch,
    input_length: int,
    target_length: int,
    eos_id: int,
    start: SegmentCursor = START,
) -> Iterator[tuple[Ids, Ids, SegmentCursor]]:
    """Yield (inputs [<= input_length], targets [<= target_length], cursor of the next pair), all ids int32, ragged.

    We cut each side to its length less one and add EOS. We leave out a pair if one side does not have a token. Raises
    ConfigurationError for a length below 2, and CorpusError if the document of `start` is missing.
    """
    if min(input_length, target_length) < 2:
        raise ConfigurationError(
            f"pairs need lengths of at least 2 (a token and EOS), found {input_length}, {target_length}"
        )
    for batch in _batched(_from(documents, start)):
        inputs = encode_batch([source for _, source, _ in batch])
        targets = encode_batch([target for _, _, target in batch])
        for (index, _, _), source, target in zip(batch, inputs, targets, strict=True):
            if source and target:
                yield (
                    _closed(source, input_length, eos_id),
                    _closed(target, target_length, eos_id),
                    SegmentCursor(index + 1),
                )


def _closed(ids: list[int], length: int, eos_id: int) -> Ids:
    return np.array([*ids[: length - 1], eos_id], dtype=np.int32)


def _from(documents: Iterable[TDocument], start: SegmentCursor) -> Iterator[TDocument]:
    """Yield the documents from the cursor's own on. Raise CorpusError if the cursor is inside a document that is missing."""
    inside = start.offset > 0
    for document in documents:
        if document[0] < start.document:
            continue
        if inside and document[0] != start.document:
            break
        inside = False
        yield document
    if inside:
        raise CorpusError(_moved(start, "that document is not there"))


def _offset_in(index: int, size: int, start: SegmentCursor) -> int:
    """Return the number of tokens of this document that earlier segments took. Raise CorpusError if it has fewer."""
    if index != start.document:
        return 0
    if start.offset > size:
        raise CorpusError(_moved(start, f"it has {size} tokens"))
    return start.offset


def _moved(start: SegmentCursor, found: str) -> str:
    return (
        f"expected to continue at token {start.offset} of document {start.document}, but {found}: the corpus or the tokenizer "
        "has changed; use the original one or start a new cache"
    )


def _encoded(documents: Iterator[tuple[int, str]], encode_batch: EncodeBatch) -> Iterator[tuple[int, Ids]]:
    for batch in _batched(documents):
        for (index, _), ids in zip(batch, encode_batch([text for _, text in batch]), strict=True):
            yield index, np.array(ids, dtype=np.int32)


def _batched(items: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(items, BATCH)):
        yield batch
