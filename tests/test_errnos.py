"""Every call of a dump, a training and an evaluation may fail once: it works all the same, or ends in one line with status 2.

After that the same command comes to the result of an unbroken run.
"""

import shutil

import pytest

from miniend.cli import exit_status
from miniend.evaluation.config import EvaluateConfig
from miniend.evaluation.evaluate import evaluate
from miniend.student_train.config import TrainConfig
from miniend.student_train.train import train_student
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from support.failing_calls import ERRORS, FailingCalls
from support.results import result
from support.tiny_cache import build_tiny_cache

DUMP = {
    "examples": 4,
    "validation_examples": 2,
    "calibration_examples": 3,
    "input_length": 12,
    "noise_density": 0.3,
    "shard_examples": 3,
    "batch_size": 2,
    "signals": "decoder.self",
    "codec": "zstd",
    "device": "cpu",
    "threads": 1,
}
TRAIN = {
    "size": "1L32H",
    "objective": "logits",
    "steps": 3,
    "batch_size": 4,
    "save_every": 2,
    "eval_every": 3,
    "device": "cpu",
}
EVALUATE = {
    "tasks": ("glue/sst2",),
    "seeds": 1,
    "epochs": 1,
    "learning_rates": (1e-3,),
    "batch_size": 4,
    "device": "cpu",
}


def quiet(_line):
    """Says nothing."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A teacher, its corpus and a cache; a tiny task."""
    folder = tmp_path_factory.mktemp("home")
    build_tiny_cache(folder)
    data = folder / "sst2"
    data.mkdir()
    rows = "".join(f"{word} of it\t{k % 2}\n" for k, word in enumerate(["good", "bad"] * 4))
    for name in ("train", "dev"):
        (data / f"{name}.tsv").write_text("sentence\tlabel\n" + rows)
    return folder


def dump(home, output):
    dump_teacher(
        DumpConfig(teacher=str(home / "teacher"), corpus=str(home / "corpus.jsonl"), cache=output, **DUMP), log=quiet
    )


def train(home, output):
    train_student(TrainConfig(cache=home / "cache", output=output, **TRAIN), log=quiet)


def score(home, output):
    evaluate(EvaluateConfig(model=str(home / "teacher"), output=output, data=home / "sst2", **EVALUATE), log=quiet)


RUNS = {"dump": dump, "train": train, "evaluate": score}


@pytest.fixture(scope="module")
def unbroken(home, tmp_path_factory):
    """By run: its result and the calls that it makes."""
    folder = tmp_path_factory.mktemp("unbroken")

    def made(kind):
        output = folder / kind
        with FailingCalls([output, home / "cache"]) as calls:
            RUNS[kind](home, output)
        return result(output), calls.calls

    return {kind: made(kind) for kind in RUNS}


def break_once(kind, home, output, expected, error, at, capfd, roots=()):
    """One fault below the output and the cache, or below other `roots`; complaints about what came of it."""
    said, name = [], f"{error} at {at}"
    try:
        with FailingCalls(roots or [output, home / "cache"], error, at) as calls:
            status = exit_status(lambda: RUNS[kind](home, output) and None)
    except BaseException as raised:
        return [f"{name} ({calls.calls[at]}): {raised!r}"]
    finally:
        err = capfd.readouterr().err
    lines = [line for line in err.splitlines() if line.startswith("miniend: ")]
    call = calls.calls[at] if at < len(calls.calls) else "not reached"
    if status not in (0, 2) or len(lines) != (status == 2):
        said.append(f"{name} ({call}): status {status}, {err}")
    again = exit_status(lambda: RUNS[kind](home, output) and None)
    err = capfd.readouterr().err
    if again or result(output) != expected:
        found = result(output)
        differ = [path for path in {**found, **expected} if found.get(path) != expected.get(path)]
        said.append(f"{name} ({call}): then {again}, {err}, {differ[:5]}; first {lines}")
    return said


def break_often(kind, home, unbroken, folder, capfd, cases):
    expected, calls = unbroken[kind]
    said = []
    for number, at in enumerate(cases):
        output = folder / str(number)
        said += break_once(kind, home, output, expected, ERRORS[number % len(ERRORS)], at, capfd)
        shutil.rmtree(output, ignore_errors=True)
    with capfd.disabled():
        print(f"{kind}: {len(cases)} faults at {len(calls)} calls, {len(said)} found")
    assert not said, "\n".join(said)


@pytest.mark.parametrize("kind", RUNS)
def test_a_run_goes_on_after_a_call_that_failed(home, unbroken, tmp_path, capfd, kind):
    """A moment's trouble with a network file system must not be taken for damage, nor for an answer."""
    calls = unbroken[kind][1]
    break_often(kind, home, unbroken, tmp_path, capfd, range(len(kind), len(calls), len(calls) // 3))


@pytest.mark.parametrize("every", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_a_dump_is_the_same_after_a_call_on_its_teacher_or_corpus_that_failed(home, unbroken, tmp_path, capfd, every):
    """transformers looks for files that most teachers lack: that it could not look was taken for another kind of tokenizer."""
    roots = [home / "teacher", home / "corpus.jsonl"]
    with FailingCalls(roots) as calls:
        dump(home, tmp_path / "counted")
    first = sorted(calls.calls.index(call) for call in set(calls.calls))
    said = []
    for number, at in enumerate(first[::every]):
        error = ("EACCES", "EIO", "EMFILE", "ESTALE")[number % 4]
        said += break_once("dump", home, tmp_path / str(number), unbroken["dump"][0], error, at, capfd, roots)
    with capfd.disabled():
        print(f"{len(first[::every])} of {len(first)} calls, {len(said)} found")
    assert not said, "\n".join(said)


@pytest.mark.slow
@pytest.mark.parametrize("kind", RUNS)
def test_a_run_goes_on_after_any_call_that_failed(home, unbroken, tmp_path, capfd, kind):
    """A hundred calls of each run, each with another error."""
    calls = unbroken[kind][1]
    break_often(kind, home, unbroken, tmp_path, capfd, range(0, len(calls), max(1, len(calls) // 100)))
