"""The logits of a shard as columns: whatever was encoded is read back, any slice of it, for every kind."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miniend.cache.logit_columns import LOGIT_COLUMNS, logit_columns, read_logits
from miniend.errors import CacheDamagedError
from miniend.signals.logits.code import LogitCode, LogitIntegers, join_integers
from miniend.storage.columns.columns import Column
from miniend.storage.documents.marker import ShardMarker
from miniend.storage.documents.measured import Mean
from miniend.storage.folder import PublishedFolder, publish_folder

KINDS = {
    "top-k": {"k": 8, "draws": 0},
    "sampled": {"k": 0, "draws": 20},
    "hybrid": {"k": 20, "draws": 20},
}
IDS = 300
EACH = pytest.mark.parametrize("kind", KINDS)


def encoded(kind, positions=30, rows=300, temperatures=()):
    """Flat and confident positions in turns, so that lists of all lengths stand beside each other."""
    generator = torch.Generator().manual_seed(0)
    scale = torch.linspace(0, 9, positions)[torch.randperm(positions, generator=generator), None]
    log_p = (scale * torch.randn(positions, rows, generator=generator)).log_softmax(-1)
    order = torch.randperm(rows, generator=generator)
    settings_ = {"top_p": 1.0, "step": 1 / 8, "vocab_rows": rows, "order": order, "temperatures": temperatures}
    code = LogitCode(kind=kind, **settings_, **KINDS[kind])
    return code.encode(log_p, torch.rand(positions, generator=generator, dtype=torch.float64))


def marker(targets):
    """The marker of a shard of so many target tokens."""
    place = {"parent": "p", "split": "train", "number": 0, "start": 0, "stop": 1}
    mean = Mean(total=0.0, count=0)
    return ShardMarker(**place, tokens={"target": targets}, fidelity={}, teacher_cross_entropy=mean).body()


def published(folder, kind, stored, codec="pcodec"):
    publish_folder(folder, "marker", marker(len(stored.head_sizes)), logit_columns(kind, stored, "target"), codec=codec)
    return PublishedFolder(folder, "marker")


def same(found, expected):
    names = LogitIntegers.__dataclass_fields__
    return all(torch.equal(getattr(found, n), getattr(expected, n).int()) for n in names)


@EACH
@pytest.mark.parametrize("codec", ["pcodec", "zstd"])
def test_what_was_encoded_is_read_back(kind, codec, tmp_path):
    """Layouts, gaps and small types lie between; each of them returns plausible integers when it is wrong."""
    stored = encoded(kind)
    found = read_logits(published(tmp_path / "shard", kind, stored, codec), kind, IDS, 30)
    assert same(found.positions(0, 30), stored)
    parts = [found.positions(start, stop) for start, stop in ((0, 1), (1, 1), (1, 12), (12, 29), (29, 30))]
    assert all(
        getattr(part, name).dtype == torch.int32 for part in parts for name in LogitIntegers.__dataclass_fields__
    )
    assert same(join_integers(parts), stored)


def test_levels_at_other_temperatures_are_read_where_they_are_asked_for(tmp_path):
    """Most students train at temperature 1 and should not pay for them."""
    stored = encoded("top-k", temperatures=(2.0, 0.5))
    folder = published(tmp_path / "shard", "top-k", stored)
    assert list(folder.columns["logits.tail_levels"]["shape"]) == [2, 30]
    found = read_logits(folder, "top-k", IDS, 30, tempered=True)
    assert same(found.positions(0, 30), stored)
    assert same(join_integers([found.positions(0, 11), found.positions(11, 30)]), stored)
    assert read_logits(folder, "top-k", IDS, 30).positions(4, 9).tail_levels.shape == (0, 5)


@EACH
def test_a_kind_has_its_columns_and_no_others(kind, tmp_path):
    """A column of zeros would cost bytes and mean nothing."""
    columns = logit_columns(kind, encoded(kind), "target")
    assert set(columns) == set(LOGIT_COLUMNS[kind])
    per_position = {"logits.head.sizes", "logits.draw.sizes", "logits.tail_entropies"}
    for name, column in columns.items():
        assert column.axis == ("target" if name in per_position else "entry")
    gaps = columns.get("logits.draw.gaps")
    assert gaps is None or gaps.values.min() >= 0


LISTS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 400), st.integers(-90, 900)), max_size=4),
        st.lists(st.integers(0, 400), max_size=5).map(sorted),
        st.integers(0, 70),
    ),
    max_size=8,
)


@given(LISTS, st.data())
@settings(max_examples=25)
def test_any_lists_come_back_from_any_slice(tmp_path_factory, lists, data):
    """Positions without head, without draws, without either: all of them occur."""

    def tensor(values):
        return torch.tensor(list(values), dtype=torch.int32)

    stored = LogitIntegers(
        tensor(len(head) for head, _, _ in lists),
        tensor(code for head, _, _ in lists for code, _ in head),
        tensor(level for head, _, _ in lists for _, level in head),
        tensor(len(draws) for _, draws, _ in lists),
        tensor(rank for _, draws, _ in lists for rank in draws),
        tensor(entropy for _, _, entropy in lists),
        torch.empty((0, len(lists)), dtype=torch.int32),
    )
    found = read_logits(
        published(tmp_path_factory.mktemp("any") / "shard", "hybrid", stored), "hybrid", 2000, len(lists)
    )
    start = data.draw(st.integers(0, len(lists)))
    stop = data.draw(st.integers(start, len(lists)))
    part = found.positions(start, stop)
    assert part.head_codes.tolist() == [code for head, _, _ in lists[start:stop] for code, _ in head]
    assert part.head_levels.tolist() == [level for head, _, _ in lists[start:stop] for _, level in head]
    assert part.draw_ranks.tolist() == [rank for _, draws, _ in lists[start:stop] for rank in draws]
    assert part.tail_entropies.tolist() == [entropy for _, _, entropy in lists[start:stop]]
    assert part.head_sizes.tolist() == [len(head) for head, _, _ in lists[start:stop]]
    assert part.draw_sizes.tolist() == [len(draws) for _, draws, _ in lists[start:stop]]


def test_near_entries_share_small_chunks(tmp_path):
    """Entries are ordered by resemblance; chunks of a whole shard would code them by one model."""
    stored = encoded("sampled", positions=500)
    folder = published(tmp_path / "shard", "sampled", stored).path.local
    metadata = json.loads((folder / "logits.draw.gaps" / "zarr.json").read_text())
    inner = next(codec for codec in metadata["codecs"] if codec["name"] == "sharding_indexed")
    assert inner["configuration"]["chunk_shape"] == [int(np.ceil(10_000 / 3))], "10,000 in three even parts"


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("logits.head.sizes", lambda values: values + 1),
        ("logits.draw.sizes", lambda values: np.where(values > 0, values - 1, values)),
        ("logits.head.codes", lambda values: values + IDS),
        ("logits.draw.gaps", lambda values: values + IDS),
        ("logits.head.levels", lambda values: values[:-1]),
    ],
)
def test_lists_that_no_distribution_can_have_are_refused(column, change, tmp_path):
    """The seal of a wrong writer is right: an id that no embedding has would only be met in the middle of a training."""
    columns = logit_columns("hybrid", encoded("hybrid"), "target")
    columns[column] = Column(values=change(columns[column].values.astype(np.int64)), axis=columns[column].axis)
    publish_folder(tmp_path / "shard", "marker", marker(30), columns)
    with pytest.raises(CacheDamagedError, match="shard is damaged: in its logits"):
        read_logits(PublishedFolder(tmp_path / "shard", "marker"), "hybrid", IDS, 30)
