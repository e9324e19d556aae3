"""A cache as a data set of torch: its examples in the order of a training, each shard read once and not once per example."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from ...cache import Cache, Decoders, Example, Split, StoredExample, collate, decoded_example, open_cache
from ...signals.logits.code import LogitIntegers
from ...storage.stores.place import Where
from .loader import BatchSource
from .order import Visits
from .records import Columns, Unpacker


class Dataset(IterableDataset[Example]):
    """The examples of a cache, each once, in an order that depends only on `seed`, `epoch` and the cache, for a loop of your own.

        dataset = miniend.Dataset("wiki", sites=("encoder.self",), logits=True)
        loader = torch.utils.data.DataLoader(dataset, batch_size=8, collate_fn=dataset.collate)

    `examples` is the path of a cache, a cache that `open_cache` or `dump_teacher` returned, or its part `cache.validation`.
    `sites` and `logits` name the signals that `collate` puts into a batch. Set `epoch` before each pass.

    With workers of a DataLoader each gives its share of the examples. Every worker then reads all shards, so take few. Examples
    that wait for their turn are kept compressed, in about 256 MB for all workers together.
    """

    def __init__(
        self,
        examples: Where | Cache | Split,
        *,
        sites: Sequence[str] = (),
        logits: bool = False,
        seed: int = 0,
        epoch: int = 0,
    ) -> None:
        opened = examples if isinstance(examples, Cache | Split) else open_cache(examples)
        self.split = opened.training if isinstance(opened, Cache) else opened
        self.sites, self.logits = tuple(sites), logits
        self.seed, self.epoch = seed, epoch

    @property
    def cache(self) -> Cache:
        """The opened cache."""
        return self.split.cache

    def collate(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return a batch: what the model's forward takes, and the teacher's signals that the data set asks for.

        - `input_ids`, `attention_mask` and `labels`, int64 [B, length]; -100 pads the labels, which an encoder does not have.
        - `sites`: for each of the names, as in `example.relations` and `example.hidden`, the tensors by kind (`query`, `key` and
          `value`, or `hidden`), float32 [B, length, width], padded with zeros.
        - `logits`, if asked for: the fields of `SparseLogits` for all valid target positions, example after example, so that
          they are the rows of `student_logits[labels != -100]`. The `..._position` of an entry is its row.

        Raises KeyError for a site that the examples do not have, and ValueError for logits that they do not have.
        """
        return collate(examples, self.sites, self.logits, self.cache.special_ids.pad)

    def __len__(self) -> int:
        return len(self.split)

    def __iter__(self) -> Iterator[Example]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        decoders = self.split.cache.decoders
        columns = _all_columns(decoders)
        source = BatchSource(self.split, columns, decoders.special_ids.pad)
        begin, end = self.epoch * len(self), (self.epoch + 1) * len(self)
        visits = Visits(source.layout, self.seed, begin)
        loads, waiting = visits.loads(), dict[int, bytes]()
        for visit in range(begin + number, end, workers):
            while visit not in waiting:
                load = next(loads)
                own = load.visits[(load.visits < end) & ((load.visits - begin) % workers == number)]
                if len(own):
                    records = source.read(load.shard, visits.within(replace(load, visits=own)))
                    waiting |= zip(own.tolist(), records, strict=True)
            yield _example(decoders, columns, waiting.pop(visit))


def _all_columns(decoders: Decoders) -> Columns:
    codecs, code = decoders.codecs.values(), decoders.logit_code
    coefficients = {name: place.axis for codec in codecs for name, place in codec.columns.items()}
    logits = (code.kind, len(code.order), False) if code else None
    return Columns(decoders.family, tuple(coefficients.items()), logits)


def _example(decoders: Decoders, columns: Columns, record: bytes) -> Example:
    """Return the example of a record."""
    reader = Unpacker(record)
    ids = {axis: reader.block()[0].astype(np.int32) for axis in columns.family.axes}
    rows = {
        name: np.concatenate([reader.block() for _ in range(reader.count())]).astype(np.int32)
        for name, _ in columns.coefficients
    }
    logits = None
    if columns.logits:
        *lists, levels = (torch.from_numpy(reader.block().astype(np.int32)) for _ in fields(LogitIntegers))
        flat = [*(part[0] for part in lists), levels]
        logits = LogitIntegers(*flat)
    return decoded_example(decoders, StoredExample(ids, lambda column, _axis: rows[column], logits))
