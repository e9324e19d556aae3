"""Whole training runs: resumed ones equal unbroken ones, what is written is what was trained, wrong input stops early."""

import errno
import json
import math
import os
import re
import shutil
import signal
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

import miniend
from miniend.errors import (
    CacheDamagedError,
    CacheMismatchError,
    CacheUnfinishedError,
    CheckpointError,
    ConfigurationError,
    RunMismatchError,
    TrainingError,
)
from miniend.models import save as saving
from miniend.models.families import family_of
from miniend.student_train import train
from miniend.student_train.config import TrainConfig
from miniend.student_train.run import checkpoint, directory, student_run
from miniend.student_train.terms.labels import Labels
from miniend.student_train.train import train_student
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from support.runs import RUN, TIMING, metrics, same_weights, weights
from support.tiny_cache import DUMP, PAIRS, build_tiny_cache

KILLED = """
import os, signal, sys, torch
from pathlib import Path
from miniend.student_train.run import student_run
from miniend.student_train import train
from miniend.student_train.config import TrainConfig

torch.set_num_threads(1)
step = train.train_step

def step_or_die(runs, batches, processes):
    if runs[0].state.step == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(runs, batches, processes)

train.train_step = step_or_die
settings = eval(sys.argv[3])
train.train_student(TrainConfig(cache=Path(sys.argv[1]), output=Path(sys.argv[2]), **settings))
"""
OFFLINE = """
import socket, sys

def refuse(*_arguments, **_named):
    raise AssertionError("training asked for the network")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from miniend.__main__ import main
main()
"""


def run(home, output, log=None, **settings):
    """Train; `home` holds `cache`, or is one."""
    cache = home / "cache" if (home / "cache").is_dir() else home
    config = TrainConfig(cache=cache, output=output, **{**RUN, **settings})
    return train_student(config, log or (lambda _line: None))


def files(folder):
    """Every file's bytes, TensorBoard's aside."""
    return {
        path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and "tfevents" not in path.name
    }


@pytest.fixture(scope="module")
def finished(span_home, tmp_path_factory):
    """A finished run that tests may look at but not touch."""
    output = tmp_path_factory.mktemp("finished") / "student"
    run(span_home, output)
    return output


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_a_killed_run_ends_with_the_very_weights_of_an_unbroken_one(span_home, commands, tmp_path, optimizer):
    """A resume that skips, repeats or forgets a little gives another student, and nobody would ever know."""
    settings = {**RUN, "optimizer": optimizer}
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    process = commands.python(KILLED, span_home / "cache", killed, repr(settings), 7)
    assert process.wait() == -signal.SIGKILL, process.written()
    assert [line["step"] for line in metrics(killed)] == list(range(1, 8)), (
        "it was killed three steps after a checkpoint"
    )
    assert not (killed / "model.safetensors").exists()

    said = []
    run(span_home, killed, said.append, **settings)
    run(span_home, unbroken, **settings)
    assert "resumed at step 4" in said
    assert same_weights(unbroken, killed)
    assert metrics(killed) == metrics(unbroken)
    assert [line["step"] for line in metrics(killed)] == list(range(1, 11))
    cards = [(output / "README.md").read_text() for output in (unbroken, killed)]
    assert cards[0] == cards[1]


@pytest.mark.parametrize("gradient_accumulation_steps", [1, 2])
def test_interruptions_at_any_step_leave_no_trace(span_home, tmp_path, monkeypatch, gradient_accumulation_steps):
    """Before the first checkpoint, right after one, in the last step: and twice in a row."""
    run(span_home, tmp_path / "unbroken", gradient_accumulation_steps=gradient_accumulation_steps)
    step = train.train_step
    for stop in (2, 4, 4, 6, 9):

        def interrupted(runs, batches, processes, stop=stop):
            if runs[0].state.step == stop:
                raise KeyboardInterrupt
            return step(runs, batches, processes)

        monkeypatch.setattr(train, "train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(span_home, tmp_path / "broken", gradient_accumulation_steps=gradient_accumulation_steps)
    monkeypatch.setattr(train, "train_step", step)
    run(span_home, tmp_path / "broken", gradient_accumulation_steps=gradient_accumulation_steps)
    assert same_weights(tmp_path / "unbroken", tmp_path / "broken")
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "unbroken")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            lambda term: setattr(term, "w", torch.nn.Parameter(torch.ones(2, 3))),
            r"terms.labels.w: there \[3\], now \[2, 3\]",
        ),
        (lambda term: setattr(term, "v", torch.nn.Parameter(torch.ones(1))), r"terms.labels.v: there None, now \[1\]"),
    ],
    ids=["of another shape", "new"],
)
def test_a_run_whose_term_has_other_parameters_now_is_refused(span_home, tmp_path, monkeypatch, change, named):
    """The person who edits a plugin between two runs; a parameter of another shape would be filled by broadcasting."""
    step, build, changes = train.train_step, Labels.build.__func__, []

    def with_parameter(cls, context, options):
        term = build(cls, context, options)
        term.w = torch.nn.Parameter(torch.ones(3))
        for edit in changes:
            edit(term)
        return term

    def interrupted(runs, batches, processes):
        if runs[0].state.step == 5:
            raise KeyboardInterrupt
        return step(runs, batches, processes)

    monkeypatch.setattr(Labels, "build", classmethod(with_parameter))
    with monkeypatch.context() as patched:
        patched.setattr(train, "train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(span_home, tmp_path / "student", objective="scratch")
    changes.append(change)
    with pytest.raises(RunMismatchError, match=f"holds a run of other parameters: {named}"):
        run(span_home, tmp_path / "student", objective="scratch")


@pytest.mark.parametrize("step", [8, 10], ids=["before the last step", "at the last step"])
def test_a_run_after_a_failed_removal_keeps_only_its_newest_checkpoint(
    span_home, finished, tmp_path, monkeypatch, step
):
    """A run that ended with a full quota has made its last step: nothing would ever remove the checkpoint before it."""
    output, remove = tmp_path / "student", shutil.rmtree

    def refuse(path, **named):
        if (output / "checkpoints" / f"step-{step:08d}").exists():
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), str(path))
        return remove(path, **named)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint.shutil, "rmtree", refuse)
        with pytest.raises(OSError):
            run(span_home, output)
    assert len(list((output / "checkpoints").iterdir())) == 2
    run(span_home, output)
    assert [path.name for path in (output / "checkpoints").iterdir()] == ["step-00000010"]
    assert same_weights(output, finished)


def test_a_resumed_run_says_that_a_plugin_has_changed(span_home, tmp_path, monkeypatch):
    """Half of it would be trained by other code; a refusal would hold up whoever corrects a comment."""
    step, said, digests = train.train_step, [], {"my_terms.py": "1", "others.py": "1"}

    def interrupted(runs, batches, processes):
        if runs[0].state.step == 5:
            raise KeyboardInterrupt
        return step(runs, batches, processes)

    monkeypatch.setattr(directory, "digests", lambda: digests)
    with monkeypatch.context() as patched:
        patched.setattr(train, "train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(span_home, tmp_path / "student", objective="scratch")
    digests["my_terms.py"] = "2"
    run(span_home, tmp_path / "student", said.append, objective="scratch")
    assert [line for line in said if "warning" in line and "larger" not in line] == [
        "  warning: the plugin my_terms.py has changed since this run began; its first steps were made with other code"
    ]


def test_a_run_killed_while_its_model_is_written_writes_it_the_next_time(span_home, finished, tmp_path, monkeypatch):
    """All steps are done and nothing is there to load: the next run must finish, not train again."""

    save = student_run.save_student

    def full_disk(model, folder, *rest):
        if folder.name != "best":
            raise OSError(28, "No space left on device")
        save(model, folder, *rest)

    with monkeypatch.context() as broken:
        broken.setattr(student_run, "save_student", full_disk)
        with pytest.raises(OSError, match="No space"):
            run(span_home, tmp_path / "student")
    monkeypatch.setattr(train, "train_step", None)
    validation = run(span_home, tmp_path / "student")
    assert same_weights(tmp_path / "student", finished)
    assert metrics(tmp_path / "student") == metrics(finished)
    last = metrics(finished)[-1]
    assert validation == pytest.approx(
        {k.removeprefix("validation."): v for k, v in last.items() if k.startswith("validation.")}
    )


def test_running_a_finished_run_again_changes_nothing(span_home, tmp_path):
    """A second look must not cost a second training, nor touch what others already use."""
    first = run(span_home, tmp_path / "student")
    before = files(tmp_path / "student")
    said = []
    assert run(span_home, tmp_path / "student", said.append) == pytest.approx(first)
    assert files(tmp_path / "student") == before
    assert any("is finished: 10 steps" in line for line in said)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"size": "2L64H"}, r"student.d_model: there 32, now 64 \(--size, --init or --keep\)"),
        ({"objective": "implicit"}, "--objective: there miniend-e, now implicit"),
        ({"steps": 5}, "--steps: there 10, now 5"),
        ({"learning_rate": 1e-2}, "--learning-rate: there 0.05, now 0.01"),
        ({"warmup_steps": 1}, "--warmup-steps: there 2, now 1"),
        ({"logits": False}, "--no-logits: there True, now False"),
        ({"seed": 1}, "--seed: there 0, now 1"),
        ({"relation_heads": 8}, "--relation-heads: there 4, now 8"),
        ({"weight": ("logits=2",)}, "--weight"),
    ],
)
def test_other_settings_in_the_same_directory_are_refused(span_home, finished, changed, named):
    """Going on with other settings gives a model whose card is wrong; `peak_learning_rate` and `warmup` are in no help."""
    before = files(finished)
    with pytest.raises(RunMismatchError, match=named):
        run(span_home, finished, **changed)
    assert files(finished) == before


def test_another_cache_is_refused_in_the_same_directory(ragged_home, finished):
    """The same settings on other data are another run."""
    with pytest.raises(RunMismatchError, match="--cache: there"):
        run(ragged_home, finished)


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "checkpoints", "best", "checkpoints/step-00000010/state.json", "tensorboard"]
)
def test_a_run_with_a_link_inside_is_refused_before_anything_is_written(span_home, finished, tmp_path, name):
    """A stranger's half-finished run could have its log appended to a file of yours. The directory itself may be a link."""
    student, linked = tmp_path / "student", tmp_path / "linked"
    shutil.copytree(finished, student)
    (student / "model.safetensors").unlink()
    linked.symlink_to(student)
    outside = tmp_path / "outside"
    (student / name).rename(outside)
    (student / name).symlink_to(outside)
    before = files(outside) if outside.is_dir() else outside.read_bytes()
    for output in (student, linked):
        with pytest.raises(RunMismatchError, match=rf"{name} is a link to .*outside"):
            run(span_home, output)
    assert before == (files(outside) if outside.is_dir() else outside.read_bytes())
    (student / name).unlink()
    outside.rename(student / name)
    run(span_home, linked)
    assert same_weights(student, finished)


def test_a_student_has_the_teachers_tokenizer_byte_for_byte_and_a_card_that_works_when_pasted(
    span_home, finished, monkeypatch, capsys
):
    """Version 4 of transformers cannot read a tokenizer that version 5 saves anew; a card is the first thing that is tried."""
    (card,) = re.findall(r"```python\n(.*?)```", (finished / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(finished)
    exec(card, {})
    assert capsys.readouterr().out.startswith("<pad>")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        theirs = (span_home / "teacher" / name).read_bytes()
        assert (finished / name).read_bytes() == (finished / "best" / name).read_bytes() == theirs


def test_everything_that_a_run_writes_can_be_read_by_whom_umask_allows(finished):
    """best/ and checkpoints had mode 0600, unreadable to colleagues and containers."""
    umask = os.umask(0)
    os.umask(umask)
    files = [path for path in finished.rglob("*") if path.is_file()]
    assert {"best", "checkpoints", "tensorboard"} <= {path.relative_to(finished).parts[0] for path in files}
    modes = {path.relative_to(finished).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in files}
    assert modes == dict.fromkeys(modes, 0o666 & ~umask)


def test_a_directory_with_other_files_is_refused_and_left_alone(span_home, tmp_path):
    """--output of the wrong folder must not mix a model into somebody's files."""
    (tmp_path / "thesis.txt").write_text("words")
    with pytest.raises(RunMismatchError, match="does not hold a run of MiniEnD"):
        run(span_home, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(ConfigurationError, match=r"thesis.txt is a file; expected a directory to write to"):
        run(span_home, tmp_path / "thesis.txt")


@pytest.mark.parametrize("home", ["span_home", "ragged_home", "umt5_home"], ids=["tied", "untied", "umt5"])
def test_what_is_written_gives_the_logits_of_training_and_teaches_again(request, tmp_path, monkeypatch, home):
    """transformers re-ties heads and rescales logits on load: the student that was measured must be the one on disk.

    And a dump of that student must find the same validation cross-entropy that its training reported.
    """
    home = request.getfixturevalue(home)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    seen, save = {}, student_run.save_student
    inputs = torch.randint(3, 100, (2, 9), generator=torch.Generator().manual_seed(0))

    def watched(model, *rest):
        seen["tied"] = family_of(model).tied(model)
        with torch.no_grad():
            seen["logits"] = model(input_ids=inputs, decoder_input_ids=inputs[:, :5]).logits
        save(model, *rest)

    monkeypatch.setattr(student_run, "save_student", watched)
    validation = run(home, tmp_path / "student", objective="implicit", learning_rate=1e-2, max_grad_norm=0.0)

    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "student")
    with torch.no_grad():
        assert torch.equal(model(input_ids=inputs, decoder_input_ids=inputs[:, :5]).logits, seen["logits"])
    assert family_of(model).tied(model) == seen["tied"] == (home.name.startswith("span"))
    ours, theirs = (AutoTokenizer.from_pretrained(folder) for folder in (tmp_path / "student", home / "teacher"))
    assert ours("bade fi lu.").input_ids == theirs("bade fi lu.").input_ids
    assert len(model.generate(inputs, max_new_tokens=3, do_sample=False)) == 2

    pairs = {} if home.name.startswith("span") else PAIRS
    again = miniend.open_cache(build_tiny_cache(tmp_path / "again", teacher=tmp_path / "student", **pairs))
    assert again.teacher_cross_entropy("validation") == pytest.approx(validation["cross_entropy"], rel=1e-5)


@pytest.mark.parametrize("home", ["span_home", "ragged_home", "umt5_home"], ids=["tied", "untied", "umt5"])
def test_a_student_starts_near_guessing_and_learns(request, tmp_path, home):
    """A head of the wrong scale starts far above ln V and spends its first steps on coming down."""
    home = request.getfixturevalue(home)
    run(home, tmp_path / "student", objective="scratch", steps=30)
    rows = miniend.open_cache(home / "cache").plan.teacher.facts.vocab_rows
    losses = [line["loss"] for line in metrics(tmp_path / "student")]
    assert abs(losses[0] - math.log(rows)) < 1.0
    assert sum(losses[-5:]) / 5 < losses[0] - 0.5


def test_one_cache_serves_students_of_other_head_counts_and_other_relation_heads(span_home, tmp_path):
    """The relations are regrouped at training time; a cache tied to one R would have to be dumped again."""
    losses = {}
    for size, heads in (("2L32H", 4), ("2L32H", 8), ("3L96H", 4), ("3L96H", 8), ("1E2D64H", 16)):
        output = tmp_path / f"{size}-{heads}"
        run(span_home, output, size=size, relation_heads=heads, steps=3)
        assert AutoModelForSeq2SeqLM.from_pretrained(output).config.num_heads == int(size[-3:-1]) // 32
        losses[size, heads] = metrics(output)[0]["decoder_self"]
    assert len(set(losses.values())) == 5


def test_the_default_relation_heads_divide_both_widths(ragged_home, tmp_path):
    """The teacher's inner width is 48, the student's 32: 16 heads are the most that both allow."""
    run(ragged_home, tmp_path / "student", relation_heads=None, steps=2)
    card = (tmp_path / "student" / "README.md").read_text()
    assert "16" in next(line for line in card.splitlines() if "elation heads" in line)


def test_relation_heads_that_do_not_divide_list_those_that_do(ragged_home, tmp_path):
    """A reshape that happens to work would mix heads and examples."""
    with pytest.raises(
        ConfigurationError, match=r"5 relation heads do not divide.*student 32.*these do: 1, 2, 4, 8, 16"
    ):
        run(ragged_home, tmp_path / "student", relation_heads=5)
    with pytest.raises(ConfigurationError, match="these do: 1, 2, 4, 8, 16"):
        run(ragged_home, tmp_path / "student", relation_heads=0)
    assert not (tmp_path / "student").exists()


def test_training_needs_neither_the_teacher_nor_a_network(commands, tmp_path):
    """The point of a cache: the command line itself, with teacher and corpus gone and every connection refused."""
    cache = build_tiny_cache(tmp_path / "away", cache=tmp_path / "cache", validation_examples=4)
    shutil.rmtree(tmp_path / "away")
    options = [f"--{k.replace('_', '-')}={v}" for k, v in {**RUN, "cache": cache, "output": tmp_path / "out"}.items()]
    process = commands.python(OFFLINE, "train-student", *options, cwd=str(tmp_path))
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "trained 10 steps" in out
    assert AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "out").config.d_model == 32


@pytest.mark.parametrize("size", ["3E1D32H", "1E3D64H", "1L32H"])
@pytest.mark.parametrize("objective", ["miniend-e", "miniend-d"])
def test_depths_may_differ_from_the_teacher_and_from_each_other(span_home, tmp_path, size, objective):
    """The last layer of each side is compared, whatever its number."""
    run(span_home, tmp_path / "student", size=size, objective=objective, logits=False, steps=2)
    config = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "student").config
    found = f"{config.num_layers}E{config.num_decoder_layers}D"
    assert found == {"1L32H": "1E1D"}.get(size, size[:4])


def test_an_objective_that_leaves_the_encoder_untrained_is_refused(span_home, tmp_path):
    """With one decoder layer, decoder self-attention never looks at the encoder; the loss falls all the same."""
    with pytest.raises(ConfigurationError, match="no gradient at all"):
        run(span_home, tmp_path / "student", size="3E1D32H", objective="minilm")
    assert not (tmp_path / "student").exists()


def test_a_config_file_gives_the_size(span_home, tmp_path):
    """Widths that no size string can say."""
    widths = {"d_model": 24, "d_kv": 8, "num_heads": 2, "d_ff": 40, "num_layers": 2, "num_decoder_layers": 1}
    (tmp_path / "config.json").write_text(json.dumps(widths))
    run(span_home, tmp_path / "student", size=str(tmp_path / "config.json"), steps=2)
    config = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "student").config
    assert {key: getattr(config, key) for key in widths} == widths
    widths["d_ff"] = 48
    (tmp_path / "config.json").write_text(json.dumps(widths))
    with pytest.raises(RunMismatchError, match=r"student.d_ff: there 40, now 48"):
        run(span_home, tmp_path / "student", size=str(tmp_path / "config.json"), steps=2)


def test_an_unknown_size_says_how_to_write_one(span_home, tmp_path):
    """A typo is not a path."""
    with pytest.raises(ConfigurationError, match="size '6L' is not understood; write 6L384H"):
        run(span_home, tmp_path / "student", size="6L")


def test_a_student_goes_on_from_a_student(span_home, finished, tmp_path):
    """--init has to start from those weights, not merely from that shape; what is said is what is trained."""
    said = []
    run(span_home, tmp_path / "on", said.append, init=str(finished), steps=2, size=None, learning_rate=1e-9)
    ours, theirs = weights(tmp_path / "on"), weights(finished)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in theirs)
    assert metrics(tmp_path / "on")[0]["loss"] < metrics(finished)[0]["loss"]
    assert any("2+2 layers, d_model 32" in line for line in said)


def test_a_start_is_known_by_its_weights_and_not_by_its_path(span_home, finished, tmp_path, monkeypatch):
    """`--init student/` after `--init student` was another run, and other weights at the same path were the same one."""
    monkeypatch.chdir(tmp_path)
    start = Path(shutil.copytree(finished, tmp_path / "start"))
    settings = {"steps": 2, "size": None, "warmup_steps": 1}
    run(span_home, tmp_path / "student", init="start", **settings)
    for spelling in ("start/", "./start", str(start), str(finished)):
        said = []
        run(span_home, tmp_path / "student", said.append, init=spelling, **settings)
        assert any(line.endswith("is finished: 2 steps") for line in said)
    assert json.loads((tmp_path / "student" / "run.json").read_text())["init"] == "start"
    tensors = load_file(start / "model.safetensors")
    tensors["shared.weight"][3, 0] += 1e-3
    save_file(tensors, start / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunMismatchError, match="student holds another run: --init: there "):
        run(span_home, tmp_path / "student", init="start", **settings)


def test_a_student_starts_from_layers_of_its_teacher(span_home, tmp_path):
    """At the teacher's own depth every term starts at what the cache lost; at half of it, with the teacher's last layer."""
    start = f"teacher-layers:{span_home / 'teacher'}"
    run(span_home, tmp_path / "whole", init=start, steps=2)
    assert metrics(tmp_path / "whole")[0]["loss"] < 0.01
    run(span_home, tmp_path / "half", init=start, size="1L32H", steps=2, learning_rate=1e-9)
    taken = load_file(span_home / "teacher" / "model.safetensors")
    for name, ours in weights(tmp_path / "half").items():
        if name.startswith("decoder.block.0.layer.2"):
            assert torch.allclose(ours, taken[name.replace("block.0", "block.1")], atol=1e-6)


def test_settings_that_cannot_work_are_refused_before_the_directory_is_claimed(span_home, tmp_path):
    """A directory claimed by a run that can never start refuses the corrected command."""
    for settings in (
        {"warmup_steps": 11},
        {"warmup_steps": -1},
        {"learning_rate": 0.0},
        {"weight_decay": -1.0},
        {"batch_size": 5, "gradient_accumulation_steps": 2},
        {"batch_size": 1000},
        {"weight": ("logits=1e40",)},
        {"device": "abacus"},
        {"init": "teacher-layers:"},
        {"init": f"teacher-layers:{tmp_path / 'nowhere'}"},
        {"init": "here"},
        {"init": str(tmp_path / "nowhere"), "size": None},
    ):
        with pytest.raises((ConfigurationError, CheckpointError)):
            run(span_home, tmp_path / "student", **settings)
        assert not (tmp_path / "student").exists()


def test_a_loss_that_is_not_finite_stops_at_its_step_and_keeps_the_checkpoint(span_home, tmp_path, monkeypatch):
    """One bad step would write NaN into every weight, and the next checkpoint over the last good one."""
    step = train.train_step

    def poisoned(runs, batches, processes):
        if runs[0].state.step == 6:
            with torch.no_grad():
                runs[0].setup.student.shared.weight[5:] = math.nan
        return step(runs, batches, processes)

    with monkeypatch.context() as broken:
        broken.setattr(train, "train_step", poisoned)
        with pytest.raises(
            TrainingError, match=r"step 7 \(loss nan, gradient norm .*; not finite is .*encoder_self nan"
        ):
            run(span_home, tmp_path / "student")
    assert [path.name for path in (tmp_path / "student" / "checkpoints").iterdir()] == ["step-00000004"]
    assert metrics(tmp_path / "student")[-1]["step"] == 6
    assert not (tmp_path / "student" / "model.safetensors").exists()
    run(span_home, tmp_path / "student")
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "student").values())


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_gradient_that_is_not_finite_is_not_applied(span_home, tmp_path, monkeypatch, value):
    """The loss may be fine and its gradient not; clipping by an infinite norm makes NaN of every weight."""
    found = {}
    clip = train.clip_gradient

    def overflowing(distillation, limit):
        student = distillation.student
        found["before"] = [p.detach().clone() for p in student.parameters()]
        found["student"] = student
        student.shared.weight.grad[3, 3] = value
        return clip(distillation, limit)

    monkeypatch.setattr(train, "clip_gradient", overflowing)
    with pytest.raises(TrainingError, match=r"not finite at step 1 .*gradient norm"):
        run(span_home, tmp_path / "student")
    assert all(torch.equal(a, b) for a, b in zip(found["before"], found["student"].parameters(), strict=True))


def test_an_unfinished_cache_is_refused_unless_allowed(own_span_cache, tmp_path):
    """A student of half a corpus under the name of the whole."""
    shutil.rmtree(own_span_cache / "shards" / "train-000001")
    with pytest.raises(CacheUnfinishedError, match="--allow-unfinished"):
        run(own_span_cache, tmp_path / "student")
    run(own_span_cache, tmp_path / "student", allow_unfinished=True, steps=2)
    assert (tmp_path / "student" / "model.safetensors").exists()
    for path in (own_span_cache / "shards").glob("train-*"):
        shutil.rmtree(path)
    with pytest.raises(ConfigurationError, match="does not have published training examples yet"):
        run(own_span_cache, tmp_path / "other", allow_unfinished=True)


def test_a_run_begun_on_a_growing_dump_goes_on_with_the_shards_that_it_began_with(span_home, tmp_path, monkeypatch):
    """The order of examples follows from the shards: with more of them a resumed run would be another, or be refused."""
    cache, aside = shutil.copytree(span_home / "cache", tmp_path / "cache"), tmp_path / "aside"
    aside.mkdir()
    later = ["train-000001", "validation-000000"]
    for name in later:
        (cache / "shards" / name).rename(aside / name)
    unbroken, stopped = tmp_path / "unbroken", tmp_path / "stopped"
    run(cache, unbroken, allow_unfinished=True)
    with monkeypatch.context() as patched:
        step, left = train.train_step, iter(range(6))

        def step_or_stop(*arguments):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return step(*arguments)

        patched.setattr(train, "train_step", step_or_stop)
        with pytest.raises(KeyboardInterrupt):
            run(cache, stopped, allow_unfinished=True)
    (aside / later[0]).rename(cache / "shards" / later[0])
    (aside / later[1]).rename(cache / "shards" / later[1])
    grow(span_home, cache, examples=30)
    assert len(miniend.open_cache(cache)) == 30
    run(cache, stopped)
    assert same_weights(unbroken, stopped)
    assert metrics(stopped) == metrics(unbroken)
    assert (stopped / "README.md").read_text() == (unbroken / "README.md").read_text()
    fresh = tmp_path / "fresh"
    run(cache, fresh)
    assert not same_weights(unbroken, fresh), "a new run takes all that is there by now"


def grow(home, cache, examples):
    """More examples into a copy of the cache of `home`."""
    settings = {**DUMP, "teacher": str(home / "teacher"), "corpus": str(home / "corpus.jsonl"), "examples": examples}
    dump_teacher(DumpConfig(cache=cache, **settings), log=lambda _line: None)


def test_a_run_whose_shards_are_no_longer_there_is_refused(own_span_cache, tmp_path):
    """What it began with is what its card names; on the rest it would be another run."""
    run(own_span_cache, tmp_path / "student")
    shutil.rmtree(own_span_cache / "shards" / "train-000001")
    with pytest.raises(CacheUnfinishedError):
        run(own_span_cache, tmp_path / "student")
    with pytest.raises(RunMismatchError, match=r"cache_part.shards: there 0:4, now 0:2,3:4"):
        run(own_span_cache, tmp_path / "student", allow_unfinished=True)


def test_a_run_file_that_names_no_part_of_a_cache_is_refused(span_home, finished, tmp_path):
    """Opening all of the cache instead would go on with other examples."""
    output = shutil.copytree(finished, tmp_path / "student")
    found = json.loads((output / "run.json").read_text())
    del found["cache_part"]
    (output / "run.json").write_text(json.dumps(found))
    with pytest.raises(RunMismatchError, match="its member cache_part should be an object, found nothing"):
        run(span_home, output)


def test_a_cache_that_lacks_a_signal_is_refused_before_anything_is_written(span_home, tmp_path):
    """An output directory claimed by a run that cannot start blocks the one that could."""
    cache = build_tiny_cache(
        tmp_path, teacher=span_home / "teacher", logits="none", signals="decoder.self", validation_examples=0
    )
    with pytest.raises(CacheMismatchError, match="needs logits"):
        run(cache, tmp_path / "student")
    with pytest.raises(CacheMismatchError, match=r"needs encoder\.self"):
        run(cache, tmp_path / "student", logits=False)
    assert not (tmp_path / "student").exists()
    assert run(cache, tmp_path / "student", objective="minilm", steps=2) == {}
    with pytest.raises(CacheMismatchError, match="is not a MiniEnD cache"):
        run(tmp_path / "nowhere", tmp_path / "other")


def test_four_micro_batches_are_one_batch(ragged_home, tmp_path):
    """Ragged examples: means of means would differ in the first digit."""
    for accumulate in (1, 4):
        run(
            ragged_home,
            tmp_path / str(accumulate),
            gradient_accumulation_steps=accumulate,
            objective="miniend-d",
            batch_size=8,
        )
    for one, four in zip(metrics(tmp_path / "1"), metrics(tmp_path / "4"), strict=True):
        assert one.keys() == four.keys()
        assert all(one[key] == pytest.approx(four[key], rel=2e-4) for key in one)
    ours, theirs = weights(tmp_path / "1"), weights(tmp_path / "4")
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in ours)


@pytest.mark.parametrize("shard", ["train-000000", "train-000002"])
@pytest.mark.parametrize(
    "column", ["inputs.ids", "targets.offsets", "logits.head.levels", "relations.encoder.self@1.query_key_value"]
)
def test_a_flipped_byte_is_refused_before_it_is_trained_on(own_span_cache, tmp_path, column, shard):
    """One wrong id or level among millions: no loss curve shows it."""
    paths = [path for path in (own_span_cache / "shards" / shard / column).rglob("*") if path.is_file()]
    path = max(paths, key=lambda path: (path.name != "zarr.json", path.stat().st_size))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CacheDamagedError, match="SHA-256"):
        run(own_span_cache, tmp_path / "student")
    assert not (tmp_path / "student" / "model.safetensors").exists()


def test_a_flipped_byte_that_no_step_reads_is_none_of_this_runs_business(own_span_cache, finished, tmp_path):
    """A student reads the columns of its objective alone; the whole cache is checked by another command."""
    for path in (own_span_cache / "shards").glob("*/relations.decoder.cross@1.query/**/*"):
        if path.is_file():
            path.write_bytes(b"junk")
    run(own_span_cache, tmp_path / "student")
    assert same_weights(tmp_path / "student", finished)


@pytest.mark.parametrize(
    "settings", [{"bf16": True}, {"optimizer": "adafactor"}, {"schedule": "cosine"}, {"max_grad_norm": 0.0}]
)
def test_each_way_of_training_lowers_the_loss(span_home, tmp_path, settings):
    """An option that is accepted and breaks the update shows nowhere else."""
    fast = {"learning_rate": 5e-3, "optimizer": "adamw"} if settings.get("optimizer") != "adafactor" else {}
    run(span_home, tmp_path / "student", steps=30, eval_every=30, **fast, **settings)
    losses = [line["loss"] for line in metrics(tmp_path / "student")]
    assert sum(losses[-5:]) / 5 < 0.95 * losses[0]


def test_the_log_says_what_the_contract_promises(finished):
    """DESIGN.md section 7: tools read these names."""
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    wanted = {"step", "loss", "logits", "decoder_self", "encoder_self", "learning_rate"} | TIMING
    assert all(wanted <= set(line) for line in lines)
    for line in lines:
        assert line["loss"] == pytest.approx(line["logits"] + line["decoder_self"] + line["encoder_self"])
    assert [line["step"] for line in lines if "validation.cross_entropy" in line] == [5, 10]
    assert list(finished.glob("tensorboard/events.*"))


def test_the_output_holds_what_others_expect_of_it(span_home, finished):
    """A model directory, its card with the cache's digest, and the run's own records."""
    names = {path.name for path in finished.iterdir()}
    wanted = {"config.json", "model.safetensors", "tokenizer.json", "README.md", "metrics.jsonl", "run.json"}
    assert wanted <= names
    card = (finished / "README.md").read_text()
    cache = miniend.open_cache(span_home / "cache")
    assert cache.digest in card
    assert cache.plan.teacher.name in card
    assert "miniend-e" in card
    for line in (metrics(finished)[0], metrics(finished)[-1]):
        assert f"{line['loss']:.4f}" in card
    assert not [path for path in finished.rglob("*") if ".partial" in path.name]


def test_a_card_without_logits_warns_that_the_student_cannot_generate(span_home, tmp_path):
    """Its head is random: whoever generates with it sees noise and blames the method."""
    validation = run(span_home, tmp_path / "student", logits=False, steps=2)
    assert "cross_entropy" not in validation
    assert "fine-tune" in (tmp_path / "student" / "README.md").read_text()


def test_every_step_reports_more_tokens(finished):
    """The number on the card is the number of tokens that were trained on, padding aside."""
    assert "1,960" in Path(finished, "README.md").read_text()


def test_a_finished_run_whose_checkpoints_were_deleted_to_save_space_is_left_alone(span_home, finished, tmp_path):
    """It would be trained again from nothing, over the model that is there."""
    output = shutil.copytree(finished, tmp_path / "student")
    shutil.rmtree(output / "checkpoints")
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    said = []
    validation = run(span_home, output, said.append)
    assert any("is finished" in line for line in said)
    assert validation["loss"] == metrics(output)[-1]["validation.loss"]
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


def test_the_weights_are_the_last_file_to_appear(span_home, tmp_path, monkeypatch):
    """They mean that the run is finished; a kill before the tokenizer is there must not pass for it."""
    moved = []
    replace = saving.os.replace
    monkeypatch.setattr(saving.os, "replace", lambda a, b: (moved.append(Path(b).name), replace(a, b)))
    run(span_home, tmp_path / "student")
    assert moved[-1] == "model.safetensors"
