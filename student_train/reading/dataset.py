"""A cache as a data set of torch: its examples in the order of a training, each shard read once and not once per example."""

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from ...cache import Cache, Decoders, Example, Split, StoredExample, decoded_example
from ...signals.logits.code import LogitIntegers
from .loader import BatchSource
from .order import Visits
from .records import Columns, Unpacker


class ShuffledExamples(IterableDataset[Example]):
    """The examples of a cache or a split, each once, in an order that depends only on `seed`, `epoch` and the cache.

    With workers of a DataLoader each gives its share of the examples. Every worker then reads all shards, so take few. Examples
    that wait for their turn are kept compressed, in about 256 MB for all workers together. Set `epoch` before each pass.
    """

    def __init__(self, examples: Cache | Split, seed: int = 0, epoch: int = 0) -> None:
        self.split = examples.training if isinstance(examples, Cache) else examples
        self.seed, self.epoch = seed, epoch

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
