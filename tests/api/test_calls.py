"""What the functions do: results that show themselves, models in memory, and a process that stays as the caller left it."""

import asyncio
import gc
import os
import random
import signal
import threading
import traceback
import warnings

import numpy as np
import pytest
import torch
import tqdm
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, T5ForConditionalGeneration
from transformers.utils import logging

import miniend
from miniend.errors import CacheMismatchError, ConfigurationError, RunMismatchError
from miniend.runtime.yaml_file import parse_yaml
from miniend.storage.survey import OPTIONS_FILE
from support.runs import RUN, same_weights

TRAIN = {**RUN, "steps": 2, "eval_every": 2, "save_every": 2, "warmup_steps": 0, "log": str}
EVALUATE = {
    "tasks": "summarize/pairs",
    "seeds": 1,
    "epochs": 1,
    "learning_rates": 1e-3,
    "batch_size": 4,
    "device": "cpu",
}


def process_state():
    """What a library could change under the feet of its caller."""
    shared = (AcceleratorState, PartialState, GradientState)
    return {
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "torch": torch.get_rng_state().tolist(),
        "numpy": str(np.random.get_state()),
        "random": random.getstate(),
        "environment": {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "warnings": list(warnings.filters),
        "handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "verbosity": (logging.get_verbosity(), logging.is_progress_bar_enabled()),
        "accelerate": [dict(one._shared_state) for one in shared],
        "folder": os.getcwd(),
    }


@pytest.fixture
def untouched(monkeypatch):
    """A caller with settings and a training of its own; none of them may change while the test runs."""
    threads, verbosity = torch.get_num_threads(), logging.get_verbosity()
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    torch.set_num_threads(2)
    logging.set_verbosity(logging.CRITICAL)
    accelerator = Accelerator(cpu=True)
    before = process_state()
    yield
    after = process_state()
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.set_num_threads(threads)
    logging.set_verbosity(verbosity)
    assert [name for name in before if before[name] != after[name]] == []
    del accelerator


@pytest.fixture
def pairs(tmp_path):
    """Texts with summaries for an evaluation."""
    rows = ["document,summary", *(f"ba de fi {n},go lu {n}" for n in range(24))]
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "pairs.csv"


def test_a_dump_returns_the_opened_cache_and_leaves_the_caller_alone(dumped, tmp_path, untouched, capsys):
    """The plan has one thread and the caller two; a second call finds everything there."""
    cache = miniend.dump_teacher(cache=tmp_path / "cache", **dumped)
    assert "dumped 32 of 32 examples" in capsys.readouterr().out
    assert (len(cache), len(cache.validation), cache.complete) == (24, 8, True)
    assert "24 for training, 8 for validation" in cache._repr_html_()
    assert cache.size == sum(p.stat().st_size for p in (tmp_path / "cache").glob("*/**/*") if p.is_file())
    lines = []
    miniend.dump_teacher(cache=cache, log=lines.append, **dumped)
    assert any("were already there" in line for line in lines)


def test_a_training_returns_its_student_and_leaves_the_caller_alone(home, tmp_path, untouched):
    """Losses, their curve, model and tokenizer without a path in between; the same weights as of the command."""
    cache = miniend.open_cache(home / "cache")
    student = miniend.train_student(cache=cache, output=tmp_path / "a", **TRAIN)
    assert student.losses["loss"] == student.curve("validation.loss")[1][-1]
    assert student.curve()[0] == [1, 2]
    assert isinstance(student.model(), T5ForConditionalGeneration)
    assert student.tokenizer()("ba de").input_ids
    assert repr(student).startswith(f"student {tmp_path / 'a'}: 2 steps\nvalidation: loss ")
    assert "<svg" in student._repr_html_()
    assert repr(miniend.Student(str(tmp_path / "a"))) == repr(student)


def test_several_students_train_in_one_pass_and_show_as_a_table(home, tmp_path, untouched):
    """One of them has the weights that it has alone."""
    sizes, objectives = ["2L32H", "3L32H"], ("miniend-e", "minilm")
    settings = {**TRAIN, "size": sizes, "objective": objectives}
    (dry, *_) = miniend.dry_run(cache=home / "cache", output=tmp_path / "all", **settings)
    assert dry is not None
    assert not (tmp_path / "all").exists()
    students = miniend.train_students(cache=home / "cache", output=tmp_path / "all", **settings)
    assert [one.path.name for one in students] == [f"{size}-{name}" for size in sizes for name in objectives]
    assert repr(students).splitlines()[0].split()[:3] == ["student", "steps", "loss"]
    assert students._repr_html_().count("<tr>") == 5
    alone = miniend.train_student(cache=home / "cache", output=tmp_path / "alone", **{**TRAIN, "size": "3L32H"})
    assert same_weights(alone.path, students[2].path)
    record = parse_yaml((tmp_path / "all" / "train.yaml").read_text(), "x")
    assert (record["size"], record["objective"]) == (sizes, [*objectives])  # so that the output is enough to go on


def test_an_estimate_an_inspection_and_a_verification_show_themselves(home, dumped, tmp_path, untouched):
    """In a console as the command prints it, in a notebook as tables."""
    plan = miniend.estimate(**dumped)
    assert (plan.examples, repr(plan).splitlines()[0]) == (32, "32 examples (validation included) in 4 shards; the trial "
                                                               "dumped 10 examples")  # fmt: skip
    assert "<th" in plan._repr_html_()
    facts = miniend.inspect(home / "cache", plot=tmp_path / "cache.svg")
    assert (tmp_path / "cache.svg").stat().st_size > 1000
    assert repr(facts).startswith("cache ")
    assert "encoder.self@1" in facts._repr_html_()
    report = miniend.verify(home / "cache")
    assert report.sound
    assert repr(report) == f"{home / 'cache'} is sound: {report.folders} folders, {report.bytes:,} bytes"
    assert "sound" in report._repr_html_()


def test_a_student_and_a_model_in_memory_are_evaluated_alike(student, pairs, tmp_path, untouched):
    """The second call finds the seed of the first, since it is the same model; the record names where it came from."""
    scores = miniend.evaluate(model=student, output=tmp_path / "scores", data=pairs, log=str, **EVALUATE)
    assert "pairs" in repr(scores)
    assert "<td" in scores._repr_html_()
    model = student.model()
    lines = []
    again = miniend.evaluate(model=model, output=tmp_path / "scores", data=pairs, log=lines.append, **EVALUATE)
    assert again.results == scores.results
    assert not any("seed 0" in line for line in lines)
    assert again.model == str(student.path)


def test_a_teacher_in_memory_continues_the_dump_of_its_folder(home, dumped, tmp_path):
    """Its digest is the folder's, nothing of it changes, and no weights are written anywhere."""
    model, tokenizer = (one.from_pretrained(home / "teacher") for one in (AutoModelForSeq2SeqLM, AutoTokenizer))
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    settings = {**dumped, "teacher": model, "tokenizer": tokenizer, "log": str}
    cache = miniend.dump_teacher(cache=tmp_path / "cache", **settings)
    assert cache.digest == miniend.open_cache(home / "cache").digest
    assert cache.plan.teacher.name == "teacher"
    lines = []
    miniend.dump_teacher(cache=home / "cache", **{**settings, "log": lines.append})
    assert any("were already there" in line for line in lines)
    assert parse_yaml((tmp_path / "cache" / OPTIONS_FILE).read_text(), "x")["teacher"] == str(home / "teacher")
    assert model.training
    assert all(one.requires_grad for one in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_teacher_without_a_folder_is_known_by_what_it_computes(home, dumped, tmp_path):
    """A config.json and what transformers writes of it say the same in other words; other weights are another teacher."""
    model, tokenizer = (one.from_pretrained(home / "teacher") for one in (AutoModelForSeq2SeqLM, AutoTokenizer))
    for one in (model, model.config, tokenizer):
        one.name_or_path = "" if one is not model.config else None
    settings = {**dumped, "teacher": model, "tokenizer": tokenizer, "log": str}
    cache = miniend.dump_teacher(cache=home / "cache", **settings)
    assert cache.complete
    with torch.no_grad():
        model.shared.weight[5, 0] += 1
    with pytest.raises(CacheMismatchError, match=r"tensor_digest.*\(teacher\)"):
        miniend.dump_teacher(cache=home / "cache", **settings)
    with pytest.raises(miniend.errors.MiniEndError, match="tokenizer"):
        miniend.dump_teacher(cache=tmp_path / "new", **{**settings, "tokenizer": None})


def test_a_student_starts_as_a_copy_of_a_model_in_memory(home, student, tmp_path):
    """The model that was given does not learn; from its folder the run would be the same."""
    model = student.model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    settings = {**TRAIN, "size": None}
    found = miniend.train_student(cache=home / "cache", output=tmp_path / "a", init=model, **settings)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    other = miniend.train_student(cache=home / "cache", output=tmp_path / "b", init=student, **settings)
    assert same_weights(found.path, other.path)
    assert f'"init": "{student.path}"' in (tmp_path / "a" / "run.json").read_text()
    assert parse_yaml((tmp_path / "a" / "train.yaml").read_text(), "x")["init"] == str(student.path)


def test_an_interrupt_leaves_a_run_that_goes_on_and_a_clean_process(home, tmp_path, untouched, monkeypatch, capsys):
    """The interrupt button of a notebook comes at any moment, also in the middle of a step."""
    from miniend.student_train import train

    made, settings = train.train_step, {**TRAIN, "steps": 6, "save_every": 100, "eval_every": 100}

    def interrupted(runs, batches, processes):
        if runs[0].state.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        made(runs, batches, processes)

    monkeypatch.setattr(train, "train_step", interrupted)
    threads = {*threading.enumerate()}
    with pytest.raises(KeyboardInterrupt) as stopped:
        miniend.train_student(cache=home / "cache", output=tmp_path / "a", **settings)
    assert not {"train_step", "_loop"} & {frame.name for frame in traceback.extract_tb(stopped.tb)}
    assert "interrupted; call miniend.train_student in the same way to go on" in capsys.readouterr().out
    left = [one.name for one in {*threading.enumerate()} - threads if not isinstance(one, tqdm.TMonitor)]
    assert [name for name in left if not name.startswith("asyncio_")] == []  # tqdm and zarr keep theirs
    assert not list((tmp_path / "a").glob(".claim-*"))
    monkeypatch.setattr(train, "train_step", made)
    lines = []
    miniend.train_student(cache=home / "cache", output=tmp_path / "a", **{**settings, "log": lines.append})
    assert "resumed at step 4" in lines
    whole = miniend.train_student(cache=home / "cache", output=tmp_path / "b", **settings)
    assert same_weights(tmp_path / "a", whole.path)


def test_a_second_interrupt_does_not_end_the_program(untouched):
    """A command ends at once; a notebook must keep its variables."""
    from miniend.runtime import stopping

    def press_twice():
        with stopping.interruptible(), stopping.held_back():
            os.kill(os.getpid(), signal.SIGINT)
            stopping._Asked.last = (stopping._Asked.last[0], -100.0)
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("the second one was not heard inside of the block")

    with pytest.raises(KeyboardInterrupt):
        press_twice()
    assert not stopping.stop_requested()


def test_sigterm_does_what_it_would_have_done_after_the_work_is_saved(untouched):
    """A scheduler's signal ends a script; here the script has its own way to end, which is not forgotten."""
    from miniend.runtime import stopping

    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("own"))
    try:
        with stopping.interruptible():
            os.kill(os.getpid(), signal.SIGTERM)
        assert heard == ["own"], "a handler of the program stays in force"
    finally:
        signal.signal(signal.SIGTERM, before)


def test_calls_work_in_a_running_event_loop_and_in_another_thread(home, tmp_path):
    """A notebook's cell runs inside of a loop; a dashboard calls from a thread, where signals cannot be handled."""

    async def cell():
        return miniend.train_student(cache=home / "cache", output=tmp_path / "loop", **TRAIN)

    in_loop = asyncio.run(cell())
    found = []

    def call():
        found.append(miniend.train_student(cache=home / "cache", output=tmp_path / "thread", **TRAIN))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert same_weights(in_loop.path, found[0].path)


def test_two_threads_at_once_are_refused(home, tmp_path):
    """Settings of a process cannot be kept for both."""
    refused = []

    def other(_line):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    def call():
        with pytest.raises(ConfigurationError, match="another thread of this process") as raised:
            miniend.verify(home / "cache")
        refused.append(raised)

    miniend.train_student(cache=home / "cache", output=tmp_path / "a", **{**TRAIN, "log": other})
    assert refused


def test_memory_is_released_after_a_call(home, tmp_path):
    """A notebook trains many students in one process."""
    miniend.train_student(cache=home / "cache", output=tmp_path / "a", **TRAIN)
    gc.collect()
    assert [one for one in gc.get_objects() if type(one) is T5ForConditionalGeneration] == []


def test_another_run_in_the_output_is_named_by_its_keyword(student, home):
    """`--size` is not what a notebook has."""
    with pytest.raises(RunMismatchError, match=r"another run: .*batch_size: there 4, now 2"):
        miniend.train_student(
            cache=home / "cache", output=student, size="2L32H", steps=2, batch_size=2, device="cpu", log=str
        )
