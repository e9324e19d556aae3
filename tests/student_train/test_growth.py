"""A student that is continued with more steps, a training that goes on by its output alone, and one that is repeated."""

import json
import shutil

import pytest

from miniend import cli
from miniend.errors import RunMismatchError
from miniend.student_train import train
from miniend.student_train.config import TrainConfig
from miniend.student_train.run.directory import stages_of
from miniend.student_train.run.growth import Stage, continued, describe_growth, describe_schedule, scheduled_steps
from miniend.student_train.train import train_student, train_students
from support.runs import metrics, same_weights, weights

SETTINGS = {
    "size": "1L32H",
    "objective": "logits",
    "steps": 4,
    "batch_size": 4,
    "log_every": 1,
    "save_every": 2,
    "eval_every": 2,
    "warmup_steps": 1,
    "device": "cpu",
}


def run(home, output, said=None, **changed):
    log = (lambda _line: None) if said is None else said.append
    return train_student(TrainConfig(cache=home / "cache", output=output, **SETTINGS | changed), log)


@pytest.fixture(scope="module")
def grown(span_home, tmp_path_factory):
    """(a student of 4 steps, the same continued to 8, the lines that were said then)."""
    root, said = tmp_path_factory.mktemp("grown"), []
    run(span_home, root / "short")
    shutil.copytree(root / "short", root / "long")
    run(span_home, root / "long", said, steps=8)
    return root / "short", root / "long", said


def rates(output):
    return [line["learning_rate"] for line in metrics(output)]


def test_a_student_is_continued_with_the_schedule_of_all_its_steps(span_home, grown, tmp_path):
    """The rate is the one of the short run up to its end, and then the one of a long run from the start."""
    short, long, said = grown
    run(span_home, tmp_path / "at-once", steps=8)
    at_once = tmp_path / "at-once"
    assert [line["step"] for line in metrics(long)] == list(range(1, 9))
    assert rates(long)[:4] == rates(short)
    assert rates(long)[4:] == rates(at_once)[4:]
    assert rates(at_once)[:4] != rates(short)
    assert not same_weights(long, at_once)
    assert stages_of(long) == (Stage(step=4, steps=4),)
    [line] = [line for line in said if "is continued" in line]
    assert "from step 4 to 8 with its warm-up of 1 step" in line
    assert "the linear schedule is that of 8 steps" in line
    assert "not be the student that 8 steps from the start give" in line
    assert "that of 4 steps up to step 4, then that of 8" in (long / "README.md").read_text()


@pytest.mark.parametrize("schedule", ["constant", "inverse-sqrt"])
def test_where_the_schedule_has_no_end_it_is_the_student_of_all_steps_at_once(span_home, tmp_path, schedule):
    """The line says so, so it must hold to the bit."""
    said = []
    run(span_home, tmp_path / "grown", schedule=schedule, steps=3)
    run(span_home, tmp_path / "grown", said, schedule=schedule, steps=6)
    run(span_home, tmp_path / "at-once", schedule=schedule, steps=6)
    assert same_weights(tmp_path / "grown", tmp_path / "at-once")
    assert any("it will be the student that 6 steps from the start give" in line for line in said)


@pytest.mark.parametrize("stop", [5, 6, 7])
def test_a_continuation_that_is_interrupted_ends_with_the_same_bits(span_home, grown, tmp_path, monkeypatch, stop):
    """Growing and resuming together: whatever the last checkpoint is, each step has the rate that it would have had."""
    short, long, _ = grown
    output = tmp_path / "student"
    shutil.copytree(short, output)
    step = train.train_step

    def stopping(runs, batches, processes):
        if runs[0].state.step == stop:
            raise KeyboardInterrupt
        step(runs, batches, processes)

    with monkeypatch.context() as patched:
        patched.setattr(train, "train_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(span_home, output, steps=8)
    assert not (output / "model.safetensors").exists()
    run(span_home, output, steps=8)
    assert same_weights(output, long)
    assert metrics(output) == metrics(long)
    if stop == 7:  # back to a checkpoint before the continuation
        shutil.rmtree(output / "checkpoints")
        (output / "model.safetensors").unlink()
        run(span_home, output, steps=8)
        assert same_weights(output, long)


def test_a_kill_between_the_two_writes_of_a_continuation_leaves_the_old_run(span_home, grown, tmp_path):
    """The student is gone, the record is the old one: the same command makes the student again, or continues it."""
    short, long, _ = grown
    for steps, expected in ((4, short), (8, long)):
        output = tmp_path / str(steps)
        shutil.copytree(short, output)
        (output / "model.safetensors").unlink()
        run(span_home, output, steps=steps)
        assert same_weights(output, expected)


def test_what_cannot_be_continued_is_refused_and_left_as_it_was(span_home, grown, tmp_path):
    """Fewer steps, other settings together with more steps, a student without its checkpoint, and a comparison's student."""
    output = tmp_path / "student"
    shutil.copytree(grown[0], output)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    with pytest.raises(
        RunMismatchError, match=r"--steps: there 4, now 3\. The --steps of a run can be raised, not lowered"
    ):
        run(span_home, output, steps=3)
    with pytest.raises(RunMismatchError, match="--batch-size: there 4, now 8"):
        run(span_home, output, steps=8, batch_size=8)
    with pytest.raises(RunMismatchError, match="--steps: there 4, now 8"):
        train_students(
            [TrainConfig(cache=span_home / "cache", output=output, **SETTINGS | {"steps": 8})], print, grow=False
        )
    shutil.rmtree(output / "checkpoints")
    with pytest.raises(RunMismatchError, match=r"does not have a checkpoint any more.*--init"):
        run(span_home, output, steps=8)
    after = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    assert after == {path: data for path, data in before.items() if "checkpoints" not in path.parts}


def test_a_run_without_a_checkpoint_becomes_the_longer_run(span_home, tmp_path, monkeypatch):
    """Nothing was made with the shorter schedule yet."""
    said = []
    with monkeypatch.context() as patched:
        patched.setattr(train, "train_step", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(span_home, tmp_path / "grown")
    run(span_home, tmp_path / "grown", said, steps=6)
    run(span_home, tmp_path / "at-once", steps=6)
    assert same_weights(tmp_path / "grown", tmp_path / "at-once")
    assert stages_of(tmp_path / "grown") == ()
    assert any("did not have a checkpoint yet" in line for line in said)


def test_the_steps_of_a_run_with_several_stages():
    """Continued twice, and once more before anything was trained."""
    first = continued((), 4, 4)
    assert first == (Stage(step=4, steps=4),)
    second = continued(first, 8, 8)
    assert second == (Stage(step=4, steps=4), Stage(step=8, steps=8))
    assert continued(second, 8, 20) == (Stage(step=4, steps=4), Stage(step=8, steps=8))
    assert continued(first, 6, 8) == (Stage(step=4, steps=4), Stage(step=6, steps=8))
    assert [scheduled_steps(second, step, 12) for step in (1, 4, 5, 8, 9, 12)] == [4, 4, 8, 8, 12, 12]
    config = TrainConfig(cache="c", output="o", steps=12, schedule="cosine")
    assert describe_schedule(config, second).endswith(
        "that of 4 steps up to step 4, that of 8 steps up to step 8, then that of 12"
    )
    assert "from step 8 to 12" in describe_growth(config, second, "student")


@pytest.fixture
def command(capsys):
    """One command line in this process: its status and lines."""

    def call(*arguments):
        capsys.readouterr()
        status = cli.run([*map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out + said.err

    return call


def test_a_training_goes_on_grows_and_is_repeated_by_what_it_recorded(span_home, command, tmp_path, monkeypatch):
    """From another directory, with one option, with two, and from the file into another folder."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    shutil.copytree(span_home / "cache", tmp_path / "cache")
    monkeypatch.chdir(tmp_path / "here")
    asked = [
        "--size",
        "1L32H",
        "--objective",
        "logits",
        "--steps",
        "4",
        "--batch-size",
        "4",
        "--save-every",
        "2",
        "--device",
        "cpu",
        "--schedule",
        "cosine",
    ]
    assert command("train-student", "--cache", "../cache", "--output", "s", *asked)[0] == 0
    first, before = weights(tmp_path / "here" / "s"), (tmp_path / "here" / "s" / "train.yaml").read_bytes()
    monkeypatch.chdir(tmp_path / "there")
    status, said = command("train-student", "--output", "../here/s")
    assert (status, "is finished: 4 steps" in said) == (0, True)
    assert "as ../here/s/train.yaml says: " in said
    assert command("train-student", "--config", "../here/s/train.yaml", "--output", "again")[0] == 0
    again = weights(tmp_path / "there" / "again")
    assert all((again[name] == tensor).all() for name, tensor in first.items())
    assert (tmp_path / "there" / "again" / "train.yaml").read_bytes() == before

    status, said = command("train-student", "--output", "../here/s", "--batch-size", "8")
    assert (status, "--batch-size: there 4, now 8" in said) == (2, True)
    assert (tmp_path / "here" / "s" / "train.yaml").read_bytes() == before
    status, said = command("train-student", "--output", "../here/s", "--steps", "6")
    assert (status, "is continued from step 4 to 6 with its warm-up of 1 step" in said) == (0, True)
    text = (tmp_path / "here" / "s" / "train.yaml").read_text()
    assert "steps: 6\n" in text
    assert "# The run was continued: a run of 4 steps up to step 4, then of 6." in text
    assert json.loads((tmp_path / "here" / "s" / "run.json").read_text())["steps"] == 6

    (tmp_path / "cache").rename(tmp_path / "cache-2")
    status, said = command("train-student", "--output", "../here/s")
    assert (status, "if it has moved, give --cache" in said) == (2, True)
    assert command("train-student", "--output", "../here/s", "--cache", "../cache-2")[0] == 0
    status, said = command("train-student", "--output", "nothing")
    assert (status, "missing option '--cache'" in said) == (2, True)


def test_several_students_go_on_and_grow_together(span_home, command, tmp_path, monkeypatch):
    """The folder above them has the options of all; each has its own."""
    monkeypatch.chdir(tmp_path)
    asked = [
        "--size",
        "1L32H",
        "--size",
        "2L32H",
        "--objective",
        "logits",
        "--steps",
        "2",
        "--batch-size",
        "4",
        "--device",
        "cpu",
    ]
    assert command("train-student", "--cache", span_home / "cache", "--output", "all", *asked)[0] == 0
    status, said = command("train-student", "--output", "all")
    assert (status, said.count("is finished: 2 steps")) == (0, 2)
    status, said = command("train-student", "--output", "all", "--steps", 4)
    assert (status, said.count("is continued from step 2 to 4")) == (0, 2)
    assert command("train-student", "--config", "all/2L32H-logits/train.yaml", "--output", "one", "--steps", 2)[0] == 0
    assert command("train-student", "--output", "one", "--steps", 4)[0] == 0
    assert same_weights(tmp_path / "one", tmp_path / "all" / "2L32H-logits")
