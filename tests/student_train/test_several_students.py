"""Students in one pass: each ends as it would have alone, bit for bit, and each can be resumed with the others or alone."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from miniend.errors import ConfigurationError, TrainingError
from miniend.student_train import train
from miniend.student_train.config import TrainConfig, each_student
from miniend.student_train.reading import loader, teacher_signals
from miniend.student_train.reading import prefetcher as ahead
from miniend.student_train.train import train_student, train_students
from support.runs import metrics, same_weights, weights

SIZES, OBJECTIVES = ["2L32H", "1E2D64H"], ["miniend-d", "scratch"]
SHARED = {
    "steps": 9,
    "batch_size": 4,
    "log_every": 2,
    "save_every": 4,
    "eval_every": 3,
    "warmup_steps": 2,
    "device": "cpu",
}


def quiet(_line):
    """Says nothing."""


def configs(home, output, sizes=SIZES, objectives=OBJECTIVES, **settings):
    whole = TrainConfig(cache=home / "cache", output=output, relation_heads=4, **{**SHARED, **settings})
    return each_student(whole, sizes, objectives)


@pytest.fixture(scope="module")
def alone(ragged_home, tmp_path_factory):
    """Every student of the table, each trained by itself."""
    folder = tmp_path_factory.mktemp("alone")
    for config in configs(ragged_home, folder):
        train_student(config, quiet)
    return folder


def the_same(one, other):
    names = sorted(path.name for path in other.iterdir())
    assert sorted(path.name for path in one.iterdir()) == names
    for name in names:
        assert same_weights(one / name, other / name), name
        assert metrics(one / name) == metrics(other / name), name
        assert (one / name / "README.md").read_bytes() == (other / name / "README.md").read_bytes(), name


def test_each_of_several_students_is_the_one_that_it_would_be_alone(ragged_home, alone, tmp_path):
    """A pass that lets one student touch another's numbers cannot be trusted with a comparison."""
    found = train_students(configs(ragged_home, tmp_path), quiet)
    the_same(tmp_path, alone)
    assert [validation["loss"] for validation in found] == [
        metrics(config.output)[-1]["validation.loss"] for config in configs(ragged_home, tmp_path)
    ]


def test_every_batch_is_read_and_decoded_once_for_all(ragged_home, tmp_path, monkeypatch):
    """Else a pass over four students costs what four passes cost."""
    decoded, batches = [], []
    decode, batch = teacher_signals.TeacherDecoder.decode, loader.BatchSource.batch
    monkeypatch.setattr(teacher_signals.TeacherDecoder, "decode", lambda *a: decoded.append(1) or decode(*a))
    monkeypatch.setattr(loader.BatchSource, "batch", lambda *a: batches.append(1) or batch(*a))
    train_students(configs(ragged_home, tmp_path / "four"), quiet)
    four, read = len(decoded), len(batches)
    decoded.clear()
    batches.clear()
    train_students(configs(ragged_home, tmp_path / "one", SIZES[:1], OBJECTIVES[:1]), quiet)
    assert four == len(decoded) + 3, "three more probes for what an objective does not reach"
    assert read <= len(batches) + 3 + ahead.AHEAD, "the thread may have read on"


class Killed(BaseException):
    """The end of a process, at which nothing is saved any more."""


def test_stopped_students_go_on_together_or_alone_from_wherever_each_stands(ragged_home, alone, tmp_path, monkeypatch):
    """A kill between two checkpoints leaves students at different steps; one may be finished alone, even deleted."""
    step = train.train_step

    def stopped(runs, batches, processes):
        if runs[0].state.step == 6:
            raise Killed
        return step(runs, batches, processes)

    everything = configs(ragged_home, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(train, "train_step", stopped)
        with pytest.raises(Killed):
            train_students(everything, quiet)
    train_student(everything[1], quiet)
    for path in sorted((everything[2].output / "checkpoints").iterdir()):
        for part in path.iterdir():
            part.unlink()
        path.rmdir()
    said = []
    train_students(everything, said.append)
    assert f"{everything[1].output} is finished: 9 steps" in said
    assert said.count("resumed at step 4") == 2, "the third begins again"
    the_same(tmp_path, alone)


def test_a_student_that_breaks_takes_nothing_from_the_others(ragged_home, alone, tmp_path, monkeypatch):
    """Its own last checkpoint is kept; the others are saved where they stand; the message names student and examples."""
    step, seen = train.train_step, []

    def poisoned(runs, batches, processes):
        if runs[0].state.step == 6 and not seen:
            seen.extend(example for batch in batches for example in batch.examples)
            with torch.no_grad():
                runs[1].setup.student.shared.weight[5:] = float("nan")
        return step(runs, batches, processes)

    everything = configs(ragged_home, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(train, "train_step", poisoned)
        with pytest.raises(TrainingError, match=r"2L32H-scratch: .* not finite at step 7") as caught:
            train_students(everything, quiet)
    assert f"met in examples {', '.join(map(str, sorted(seen)))};" in str(caught.value)
    saved = [[path.name for path in (config.output / "checkpoints").iterdir()] for config in everything]
    assert saved == [["step-00000007"], ["step-00000004"], ["step-00000006"], ["step-00000006"]]
    train_students(everything, quiet)
    the_same(tmp_path, alone)


def test_settings_of_one_pass_must_agree(ragged_home, tmp_path):
    """Two batch sizes have no batch in common."""
    one, other = configs(ragged_home, tmp_path)[:2]
    for name, value in {"batch_size": 8, "seed": 1, "steps": 5, "save_every": 2}.items():
        with pytest.raises(ConfigurationError, match=f"the same --{name.replace('_', '-')}"):
            train_students([one, replace(other, **{name: value})], quiet)
    with pytest.raises(ConfigurationError, match="needs its own output"):
        train_students([one, replace(other, output=one.output)], quiet)
    with pytest.raises(ConfigurationError, match="must differ in size or objective"):
        configs(ragged_home, tmp_path, ["2L32H", "2L32H"])
    assert not list(tmp_path.iterdir())


def test_one_student_has_the_output_itself_and_several_a_folder_each(ragged_home, tmp_path):
    """What the command line's help promises."""
    assert [config.output for config in configs(ragged_home, tmp_path, SIZES[:1], OBJECTIVES[:1])] == [tmp_path]
    names = [config.output.relative_to(tmp_path).as_posix() for config in configs(ragged_home, tmp_path)]
    assert names == ["2L32H-miniend-d", "2L32H-scratch", "1E2D64H-miniend-d", "1E2D64H-scratch"]


def test_the_best_student_is_kept_beside_the_last(ragged_home, tmp_path, monkeypatch):
    """A run that spoils its student towards the end still leaves the one that users want."""
    adamw = {"optimizer": "adamw", "learning_rate": 0.03}  # Adafactor bounds the rate that spoils
    config = configs(ragged_home, tmp_path / "spoilt", SIZES[:1], ["scratch"], **adamw)[0]
    seen, rate, end = {}, train.learning_rate_at, train._end_step

    def watched(runs, processes, log):
        end(runs, processes, log)
        for run in runs:
            seen[run.state.step] = {name: p.detach().clone() for name, p in run.setup.student.named_parameters()}

    monkeypatch.setattr(train, "learning_rate_at", lambda step, *rest: 5.0 if step > 6 else rate(step, *rest))
    monkeypatch.setattr(train, "_end_step", watched)
    train_student(config, quiet)
    losses = {line["step"]: line["validation.loss"] for line in metrics(config.output) if "validation.loss" in line}
    assert losses[6] < losses[3] < losses[9]
    kept, last = load_file(config.output / "best" / "model.safetensors"), weights(config.output)
    for tensors, step in ((kept, 6), (last, 9)):
        assert all(torch.equal(tensors[name], seen[step][name]) for name in tensors)
    assert AutoModelForSeq2SeqLM.from_pretrained(config.output / "best").config.d_model == 32
    assert AutoTokenizer.from_pretrained(config.output / "best")("bade fi lu.").input_ids
