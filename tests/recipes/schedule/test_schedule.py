"""`schedule`: the assistant and the target are ordinary checkpoints, the record is true, and the chain needs no teacher."""

import json
import shutil

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

import miniend
from miniend.errors import ConfigurationError, RunMismatchError
from miniend.recipes.compare.run.hard_labels import hard_label_loss
from miniend.recipes.schedule.config import ScheduleConfig
from miniend.recipes.schedule.schedule import schedule
from miniend.student_train.config import TrainConfig
from miniend.student_train.train import train_students
from support.runs import metrics, same_weights, weights
from support.sorted_teachers import sort_teacher
from support.tiny_cache import build_tiny_cache

SETTINGS = {
    "keep": "0.3,0.8,0.6",
    "target": 0.3,
    "score": "kl",
    "steps": 4,
    "batch_size": 4,
    "log_every": 1,
    "eval_every": 2,
    "save_every": 2,
    "device": "cpu",
}


def scheduled(home, sorted_teacher, output, log=lambda _line: None, **settings):
    asked = {**SETTINGS, **settings}
    return schedule(ScheduleConfig(cache=home / "cache", init=f"pruned:{sorted_teacher}", output=output, **asked), log)


@pytest.fixture(scope="module")
def made(span_home, sorted_span, tmp_path_factory):
    """A schedule with all its candidates, and the lines that it printed."""
    lines = []
    output = tmp_path_factory.mktemp("made") / "out"
    return scheduled(span_home, sorted_span, output, lines.append, save_all=True, tradeoff=1.0), lines


def test_every_candidate_is_a_checkpoint_with_the_loss_of_the_table(made, span_home):
    """Whoever loads it with transformers gets what was scored."""
    found, _ = made
    cache = miniend.open_cache(span_home / "cache")
    assert [(one.keep, one.heads, one.d_ff) for one in found.record.candidates] == [
        (0.8, 3, 64),
        (0.6, 2, 64),
        (0.3, 1, 64),
    ]
    for one in found.record.candidates:
        model = AutoModelForSeq2SeqLM.from_pretrained(found.path / "candidates" / f"keep-{one.keep:g}")
        assert (model.config.num_heads, model.config.d_ff) == (one.heads, one.d_ff)
        assert sum(parameter.numel() for parameter in model.parameters()) == one.parameters
        loss = hard_label_loss(model, cache, torch.device("cpu"), 4)
        assert one.cross_entropy == pytest.approx(loss, rel=1e-5)
        assert one.tradeoff == pytest.approx(one.score + 1 - one.size)
    teacher = AutoModelForSeq2SeqLM.from_pretrained(span_home / "teacher")
    embeddings = teacher.shared.weight.numel()
    whole = sum(parameter.numel() for parameter in teacher.parameters()) - embeddings
    first = found.record.candidates[0]
    assert first.size == pytest.approx((first.parameters - embeddings) / whole)


def test_assistant_and_target_are_what_the_record_says(made):
    """With tokenizer, card, report and picture; at lambda 1 the smallest wins here."""
    found, lines = made
    record = found.record
    assert json.loads((found.path / "schedule.json").read_text())["assistant"] == record.assistant == 0.3
    assert same_weights(found.assistant, found.path / "candidates" / f"keep-{record.assistant:g}")
    assert same_weights(found.target, found.path / "candidates/keep-0.3")
    assert len(AutoTokenizer.from_pretrained(found.assistant)) > 100
    assert "| 0.3 | 1 |" in (found.assistant / "README.md").read_text()
    report = (found.path / "report.md").read_text()
    assert all(f"{one.score:.4f}" in report for one in record.candidates)
    assert "![" in report
    assert (found.path / "schedule.png").stat().st_size > 1000
    assert any(line.startswith("lambda 1 chooses keep 0.3; ") for line in lines)
    assert lines[-1].startswith("next: miniend train-student --cache of-assistant --init ")


def test_another_lambda_decides_again_without_training(made, span_home, sorted_span, tmp_path):
    """A finished schedule is read off in seconds; other candidates are another run."""
    found, _ = made
    output, lines = tmp_path / "copy", []
    shutil.copytree(found.path, output)
    again = scheduled(span_home, sorted_span, output, lines.append, tradeoff=0.0)
    assert again.record.assistant == max(again.record.candidates, key=lambda one: one.score).keep
    assert any("is finished: 4 steps" in line for line in lines)
    with pytest.raises(RunMismatchError, match="--keep"):
        scheduled(span_home, sorted_span, output, keep="0.8,0.3")
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunMismatchError, match="does not hold a schedule"):
        scheduled(span_home, sorted_span, tmp_path)


def test_a_schedule_of_one_is_a_pruned_student(span_home, sorted_span, tmp_path):
    """Bit for bit, as a checkpoint."""
    found = scheduled(span_home, sorted_span, tmp_path / "one", keep="0.6", target=0.6)
    settings = {name: value for name, value in SETTINGS.items() if name not in ("keep", "target", "score")}
    plain = TrainConfig(
        cache=span_home / "cache", output=tmp_path / "plain", init=f"pruned:{sorted_span}", keep=0.6, **settings
    )
    train_students([plain], lambda _line: None)
    assert same_weights(found.assistant, tmp_path / "plain")
    assert same_weights(found.target, tmp_path / "plain")


def test_independent_candidates_are_students_of_their_own(span_home, sorted_span, tmp_path):
    """The control: each candidate ends with the weights that it would have alone."""
    found = scheduled(span_home, sorted_span, tmp_path / "out", independent=True, keep="0.8,0.3", save_all=True)
    alone = scheduled(span_home, sorted_span, tmp_path / "alone", keep="0.3", target=0.3)
    assert same_weights(found.target, alone.target)
    assert [one.keep for one in found.record.candidates] == [0.8, 0.3]
    assert found.record.candidates[1].score == pytest.approx(alone.record.candidates[0].score, rel=1e-6)


@pytest.mark.slow
def test_two_processes_schedule_as_one(ragged_home, sorted_ragged, commands, tmp_path):
    """The same losses and the same choice; the first process writes, and the others end with it."""
    settings = {**SETTINGS, "keep": "0.8,0.3", "gradient-accumulation-steps": 1, "relation-heads": 4}
    for processes, folder in ((1, tmp_path / "one"), (2, tmp_path / "two")):
        options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        where = [f"--cache={ragged_home / 'cache'}", f"--init=pruned:{sorted_ragged}", f"--output={folder}"]
        ran = commands.ranks(processes, "schedule", *where, *options)
        ended = [process.communicate() for process in ran]
        assert [process.returncode for process in ran] == [0] * processes, ended
    for line, other in zip(metrics(tmp_path / "one/master"), metrics(tmp_path / "two/master"), strict=True):
        assert other == pytest.approx(line, rel=2e-4)
    for name, tensor in weights(tmp_path / "one/assistant").items():
        assert torch.allclose(weights(tmp_path / "two/assistant")[name], tensor, atol=2e-4), name


def test_the_chain_goes_on_without_the_teacher(tmp_path):
    """Sort, delete the teacher, schedule, let the assistant dump, and train from its cache at the target."""
    build_tiny_cache(tmp_path, examples=12, validation_examples=6)
    folder = sort_teacher(tmp_path, tmp_path / "sorted")
    shutil.rmtree(tmp_path / "teacher")
    found = miniend.schedule(
        cache=tmp_path / "cache",
        init=f"pruned:{folder}",
        output=tmp_path / "out",
        keep="0.6,0.3",
        target=0.3,
        score="accuracy",
        tradeoff=0.0,
        steps=2,
        batch_size=4,
        relation_heads=4,
        device="cpu",
        log=lambda _line: None,
    )
    again = miniend.dump_teacher(
        teacher=found.assistant,
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
    student = miniend.train_student(
        cache=again.path.local,
        output=tmp_path / "student",
        init=str(found.target),
        steps=2,
        batch_size=4,
        relation_heads=4,
        device="cpu",
        log=lambda _line: None,
    )
    assert student.model().config.num_heads == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": "0.5,x"}, "--keep 0.5,x: expected different fractions with commas"),
        ({"keep": "0.5,0.5"}, "expected different fractions"),
        ({"keep": "2,0.3"}, "--keep 2: expected a fraction above 0"),
        ({"target": 0.25}, "--target 0.25: expected one of the candidates of --keep"),
        ({"gradient_checkpointing": True}, "--gradient-checkpointing is for --independent"),
        ({"independent": True, "sandwich_sample": 1}, "--sandwich-sample draws among candidates that share weights"),
        ({"init": "student"}, "--init student: expected pruned:SORTED"),
    ],
)
def test_what_a_schedule_cannot_do_is_said_in_one_line(settings, message):
    """Before anything is loaded."""
    with pytest.raises(ConfigurationError, match=message):
        ScheduleConfig(**{"cache": "c", "init": "pruned:s", "output": "o", **SETTINGS, **settings})
