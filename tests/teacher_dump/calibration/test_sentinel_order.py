"""The order of the sentinels: a teacher of transformers' flax recipe starts from the last one."""

import dataclasses
import shutil

import pytest
import torch

from miniend.cache import open_cache
from miniend.errors import ConfigurationError
from miniend.recipes.repair import folders
from miniend.recipes.repair.config import RepairConfig
from miniend.recipes.repair.repair import repair_cache
from miniend.teacher_dump import prepare
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.corpus.tokenizer import sentinel_ids
from miniend.teacher_dump.dump import dump_teacher
from miniend.teacher_dump.teacher import Teacher, load_teacher
from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
from support.tiny_tokenizer import build_tiny_tokenizer

TEXTS = tiny_texts(60)
KEPT = {}
"""The order that the teachers of this file know, by the name of a plan's teacher."""


class KnowsItsOrder(Teacher):
    """A teacher that predicts each sentinel after the one before it, and knows nothing else."""

    def forward(self, ids, valid):
        logits, order = super().forward(ids, valid) * 0, torch.tensor(KEPT[self.name])
        given = self.given(ids)["target"]
        seen = torch.isin(given, order).cumsum(1).clamp(max=len(order) - 1)
        return logits.scatter(2, order[seen][..., None], 12.0)


@pytest.fixture
def dump(tmp_path, monkeypatch):
    """A function that dumps with a teacher that knows its sentinels in the order of their names, or in reverse."""
    tokenizer = build_tiny_tokenizer(TEXTS, 200, sentinels=8, ascending=True)
    build_tiny_t5(tmp_path / "t5", tokenizer, layers=(1, 1))
    corpus = write_texts(tmp_path / "corpus.jsonl", TEXTS)
    ids = sentinel_ids(tokenizer)

    def load(*arguments):
        plain = load_teacher(*arguments)
        return KnowsItsOrder(**{f.name: getattr(plain, f.name) for f in dataclasses.fields(Teacher)})

    monkeypatch.setattr(prepare, "load_teacher", load)
    monkeypatch.setattr(folders, "load_teacher", load)

    def run(known, **options):
        KEPT["t5"] = ids if known == "named" else ids[::-1]
        settings = {"input_length": 48, "examples": 6, "validation_examples": 2, "signals": "none", "batch_size": 4}
        config = DumpConfig(
            teacher=str(tmp_path / "t5"), corpus=str(corpus), cache=tmp_path / "cache", **(settings | options)
        )
        dump_teacher(config, lambda _line: None)
        return open_cache(tmp_path / "cache"), ids

    return run


def used(cache, ids):
    return [i for i in cache[0].labels.tolist() if i in ids]


def test_a_teacher_of_the_other_order_is_refused_before_anything_is_written(dump, tmp_path):
    """It would be dumped at 14 nats instead of 5, with a warning that could mean anything."""
    with pytest.raises(ConfigurationError, match=r"in reverse; use --sentinel-order reversed"):
        dump("reversed")
    assert not (tmp_path / "cache" / "plan").exists()


def test_the_reversed_order_is_used_and_kept_by_a_later_run(dump):
    """A resumed run need not repeat the option: the plan has the order."""
    cache, ids = dump("reversed", sentinel_order="reversed")
    spans = cache.plan.task.corruption.spans
    assert used(cache, ids) == ids[::-1][:spans]
    grown, _ = dump("reversed", examples=10)
    assert used(grown, ids) == ids[::-1][:spans]


def test_a_repair_takes_the_order_of_the_plan(dump, tmp_path):
    """The options of the dump are not repeated; in the named order the shard would hold other examples."""
    cache, _ = dump("reversed", sentinel_order="reversed")
    before = cache[0].labels.tolist()
    [shard] = (tmp_path / "cache" / "shards").glob("train*")
    shutil.rmtree(shard)
    config = RepairConfig(
        cache=tmp_path / "cache", teacher=str(tmp_path / "t5"), corpus=(str(tmp_path / "corpus.jsonl"),)
    )
    repair_cache(config, lambda _line: None)
    assert open_cache(tmp_path / "cache")[0].labels.tolist() == before


def test_a_teacher_of_the_named_order_needs_no_option(dump):
    """Every public T5."""
    cache, ids = dump("named")
    assert used(cache, ids) == ids[: cache.plan.task.corruption.spans]


def test_the_order_that_was_asked_for_is_not_questioned(dump):
    """A teacher may be worth its dump although it knows another order better."""
    cache, ids = dump("reversed", sentinel_order="named")
    assert used(cache, ids) == ids[: cache.plan.task.corruption.spans]


def test_pairs_do_not_have_an_order():
    """An option without an effect hides a mistake."""
    with pytest.raises(
        ConfigurationError, match="--sentinel-order is an option of --task span-corruption, not of --task pairs"
    ):
        DumpConfig(teacher="t", corpus="c", cache="c", examples=3, task="pairs", sentinel_order="named")
