"""`prune-teacher`: the sorted teacher computes what the teacher does, its record is true, and students and assistants start from
it when the teacher is gone."""

import json
import shutil

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

import miniend
from miniend.errors import CacheMismatchError, ConfigurationError, RunMismatchError
from miniend.models.families import family_of
from miniend.models.pruning.prefix import cut_model
from miniend.models.pruning.widths import Widths, widths_of
from miniend.recipes.compare.run.hard_labels import hard_label_loss
from miniend.recipes.prune.config import PruneConfig
from miniend.recipes.prune.prune import prune_teacher
from miniend.recipes.prune.record import read_pruning
from support.tiny_cache import build_tiny_cache

HOMES = ("span_home", *(pytest.param(name, marks=pytest.mark.slow) for name in ("ragged_home", "umt5_home")))
"""A tied T5, a gated and untied one, and an untied umT5 whose head transformers scales."""


def pruned(home, output, log=lambda _line: None, **settings):
    return prune_teacher(
        PruneConfig(
            teacher=str(home / "teacher"), cache=home / "cache", output=output, **{"device": "cpu", **settings}
        ),
        log,
    )


@pytest.fixture(scope="module")
def sorted_span(span_home, tmp_path_factory):
    """The sorted teacher of the span cache, and the lines that the command printed."""
    lines = []
    return pruned(span_home, tmp_path_factory.mktemp("sorted") / "sorted", lines.append, examples=20), lines


@pytest.mark.parametrize("home", HOMES)
def test_the_sorted_teacher_computes_what_the_teacher_does(home, request, tmp_path):
    """In another order, with the teacher's tokenizer: an ordinary checkpoint of every family."""
    folder = request.getfixturevalue(home)
    found = pruned(folder, tmp_path / "sorted", examples=10, importance="gradient")
    cache = miniend.open_cache(folder / "cache")
    loaded = AutoModelForSeq2SeqLM.from_pretrained(found.path).eval()
    before = cache.teacher_cross_entropy("validation")
    device = torch.device("cpu")
    assert hard_label_loss(loaded, cache, device, 8) == pytest.approx(before, rel=1e-5)
    whole = found.pruning.table[0]
    assert whole.keep == 1
    assert whole.cross_entropy == pytest.approx(before, rel=1e-5)
    orders = [group.order for group in found.pruning.groups.values()]
    assert any(order != tuple(sorted(order)) for order in orders)
    assert len(AutoTokenizer.from_pretrained(found.path)) == cache.plan.tokenizer.size


def test_the_table_is_of_the_models_that_are_cut(sorted_span, span_home):
    """A number beside the wrong fraction would choose the wrong size."""
    found, _ = sorted_span
    cache, whole = miniend.open_cache(span_home / "cache"), AutoModelForSeq2SeqLM.from_pretrained(found.path)
    assert [(row.keep, row.heads, row.d_ff) for row in found.pruning.table] == [
        (1.0, 4, 64),
        (0.8, 3, 64),
        (0.6, 2, 64),
        (0.3, 1, 64),
    ]
    for row in found.pruning.table:
        smaller = cut_model(whole, Widths(row.heads, row.d_ff))
        assert row.parameters == sum(parameter.numel() for parameter in smaller.parameters())
        assert row.cross_entropy == pytest.approx(hard_label_loss(smaller, cache, torch.device("cpu"), 4), rel=1e-5)


def test_the_record_says_how_it_was_sorted(sorted_span, span_home):
    """The first examples of training, both digests, and for each group either scores or the rounds of removals."""
    found, lines = sorted_span
    cache, record = miniend.open_cache(span_home / "cache"), read_pruning(found.path)
    assert record == found.pruning
    assert record.examples == tuple(range(20))
    assert (record.teacher_digest, record.cache_digest) == (cache.plan.teacher.tensor_digest, cache.digest)
    assert list(record.groups) == [
        "encoder.self",
        *(f"encoder.feed_forward@{layer}" for layer in range(2)),
        "decoder.self",
        *(f"decoder.{kind}@{layer}" for layer in range(2) for kind in ("cross", "feed_forward")),
    ]
    for name, group in record.groups.items():
        measured = name.endswith(".self")
        assert (group.scores is None, group.removals is None) == (measured, not measured)
    assert (found.path / "pruning.png").stat().st_size > 1000
    card = (found.path / "README.md").read_text()
    assert all(f"| {row.keep:g} | {row.heads} |" in card for row in record.table)
    assert lines[-1].startswith("next: miniend train-student --cache ")
    assert sum(line.startswith("keep  heads") for line in lines) == 1


def test_a_finished_one_is_not_made_again_and_another_one_is_refused(sorted_span, span_home, tmp_path):
    """An hour on a large teacher is not repeated, and one sorted teacher never replaces another."""
    found, _ = sorted_span
    weights, lines = found.path / "model.safetensors", []
    before = weights.stat().st_mtime_ns
    assert pruned(span_home, found.path, lines.append, examples=20).pruning == found.pruning
    assert weights.stat().st_mtime_ns == before
    assert "holds this sorted teacher already" in lines[0]
    with pytest.raises(RunMismatchError, match="--importance: there measured, now gradient"):
        pruned(span_home, found.path, examples=20, importance="gradient")
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunMismatchError, match="does not hold a sorted teacher"):
        pruned(span_home, tmp_path)


def test_an_interrupted_one_is_made_again(sorted_span, span_home, tmp_path, monkeypatch):
    """Whatever a kill leaves: options, a record, a picture, but not weights."""
    found, _ = sorted_span
    copy = tmp_path / "sorted"
    shutil.copytree(found.path, copy)
    (copy / "model.safetensors").unlink()
    assert pruned(span_home, copy, examples=20).pruning == found.pruning
    assert (copy / "model.safetensors").read_bytes() == (found.path / "model.safetensors").read_bytes()


def test_another_teacher_is_refused(sorted_span, span_home, tmp_path):
    """It would be sorted by what is important to somebody else; even the same one in another order is another."""
    asked = {"teacher": str(sorted_span[0].path), "cache": span_home / "cache", "output": tmp_path / "x"}
    with pytest.raises(CacheMismatchError, match=r"is not the teacher of .*name the checkpoint from which"):
        prune_teacher(PruneConfig(**asked), print)
    assert not (tmp_path / "x").exists()


def test_a_student_an_assistant_and_its_cache_come_from_it_without_the_teacher(tmp_path):
    """The whole chain with a teacher in memory, whose folder is deleted after it was sorted."""
    build_tiny_cache(tmp_path)
    found = miniend.prune_teacher(
        teacher=AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "teacher"),
        cache=tmp_path / "cache",
        output=tmp_path / "sorted",
        examples=8,
        log=lambda _line: None,
    )
    shutil.rmtree(tmp_path / "teacher")
    student = miniend.train_student(
        cache=tmp_path / "cache",
        output=tmp_path / "student",
        init=f"pruned:{found.path}",
        keep=0.5,
        steps=2,
        batch_size=4,
        relation_heads=2,
        device="cpu",
        log=lambda _line: None,
    )
    assert widths_of(student.model().config) == Widths(2, 64)
    record = json.loads((student.path / "run.json").read_text())
    assert record["student.num_heads"] == 2
    with pytest.raises(RunMismatchError, match="size, init or keep"):
        miniend.train_student(output=student.path, keep=0.25, log=lambda _line: None)
    again = miniend.dump_teacher(
        teacher=student.path,
        corpus=str(tmp_path / "corpus.jsonl"),
        cache=tmp_path / "of-assistant",
        examples=8,
        validation_examples=0,
        calibration_examples=8,
        input_length=32,
        device="cpu",
        threads=1,
        log=lambda _line: None,
    )
    assert len(again) == 8


def test_a_family_that_forgets_a_parameter_is_noticed(span_home, tmp_path, monkeypatch):
    """Sorting would change the function without an error: here the values keep their order."""
    family = type(family_of_teacher(span_home))
    units = family.units
    monkeypatch.setattr(
        family, "units", lambda self, name, d_kv: None if name.endswith(".v.weight") else units(self, name, d_kv)
    )
    with pytest.raises(ConfigurationError, match="sorting changed the loss"):
        pruned(span_home, tmp_path / "x")


def family_of_teacher(home):
    return family_of(AutoModelForSeq2SeqLM.from_pretrained(home / "teacher"))
