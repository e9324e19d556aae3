"""docs/extending.md, run: its module adds a term, a relation, a layer map, a start and a kind, from outside of the package.

One process imports the page's module and forks a child for each job, so that torch is imported once and nothing that the page
registers is seen by other tests.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import miniend
from support.runs import RUN, metrics, same_weights, weights
from support.tiny_cache import build_tiny_cache

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "extending.md"
SIGNALS = "encoder.self,decoder.self,decoder.cross,decoder.hidden@0,decoder.hidden@1"
OBJECTIVES = ("hidden", "value-key", "miniend-e")
DRIVER = """
import json, os, signal, sys, traceback
sys.path.insert(0, {tests!r})
from pathlib import Path
from miniend.runtime.plugins import load_plugins
from miniend.student_train import train
from miniend.student_train.config import TrainConfig, each_student

load_plugins(({plugin!r},))
job = json.loads(sys.argv[1])


def work(output, objectives, killed_after=None, dry_run=False, **settings):
    step, made = train.train_step, 0

    def killed(runs, batches, processes):
        nonlocal made
        step(runs, batches, processes)
        made += 1
        if made == killed_after:
            os.kill(os.getpid(), signal.SIGKILL)

    train.train_step = killed
    config = TrainConfig(output=Path(output), **settings)
    sizes = [settings.get("size")]
    run = train.dry_run_students if dry_run else train.train_students
    run(each_student(config, sizes, objectives), lambda line: print(line, flush=True))


for number, arguments in enumerate(job):
    child = os.fork()
    if not child:
        try:
            work(**arguments)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print("ENDED", number, os.waitstatus_to_exitcode(status), flush=True)
"""


def page_module(folder):
    """The page's code as a file, as a reader would paste it."""
    path = folder / "my_methods.py"
    path.write_text("\n\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)))
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A cache with two layers of hidden states, and the page's module."""
    folder = tmp_path_factory.mktemp("extending")
    build_tiny_cache(folder, signals=SIGNALS)
    page_module(folder)
    return folder


@pytest.fixture(scope="module")
def runs(home):
    """Every job of this module: in one pass, alone, killed and resumed, from the start of one's own, and dry."""
    settings = {**RUN, "cache": str(home / "cache")}
    teacher = str(home / "teacher")
    width = miniend.open_cache(home / "cache").plan.teacher.facts.d_model
    from_layers = {**settings, "size": f"1L{width}H", "init": f"every-second:{teacher}", "relation_heads": None}
    jobs = [
        {**settings, "output": str(home / "together"), "objectives": OBJECTIVES},
        *({**settings, "output": str(home / f"alone-{name}"), "objectives": [name]} for name in OBJECTIVES[:2]),
        {**settings, "output": str(home / "killed"), "objectives": ["hidden"], "killed_after": 7},
        {**settings, "output": str(home / "killed"), "objectives": ["hidden"]},
        {
            **from_layers,
            "output": str(home / "started"),
            "objectives": ["hidden"],
            "steps": 1,
            "warmup_steps": 0,
            "learning_rate": 1e-12,
        },
        {**settings, "output": str(home / "dry"), "objectives": ["hidden"], "dry_run": True},
    ]
    script = DRIVER.format(tests=str(TESTS), plugin=str(home / "my_methods.py"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, json.dumps(jobs)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    ended = [int(line.split()[2]) for line in done.stdout.splitlines() if line.startswith("ENDED")]
    assert ended == [0, 0, 0, -signal.SIGKILL, 0, 0, 0], done.stdout + done.stderr
    return done.stdout


def of(home, objective):
    """The student of an objective that was trained in one pass with the others."""
    return home / "together" / f"{RUN['size']}-{objective}"


@pytest.mark.parametrize("objective", OBJECTIVES[:2])
def test_a_student_of_an_added_method_is_the_same_alone_and_in_a_pass_with_others(home, runs, objective):
    """Terms with parameters of their own must not see the other students' batches, seeds or gradients."""
    assert same_weights(of(home, objective), home / f"alone-{objective}")
    assert metrics(of(home, objective)) == metrics(home / f"alone-{objective}")


def test_added_terms_are_in_the_metrics_in_tensorboard_in_the_card_and_in_the_dry_run(home, runs):
    """What cannot be seen cannot be trusted."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    lines = metrics(of(home, "hidden"))
    assert all({"labels", "hidden_error", "gradient_norm.terms"} <= set(line) for line in lines)
    assert all("value_key" in line for line in metrics(of(home, "value-key")))
    assert "validation.hidden_error" in lines[-1]
    events = EventAccumulator(str(of(home, "hidden") / "tensorboard"))
    events.Reload()
    assert {"hidden_error", "validation.hidden_error", "gradient_norm.terms"} <= set(events.Tags()["scalars"])
    card = (of(home, "hidden") / "README.md").read_text()
    assert "squared error of hidden states through a learned projection" in card
    assert "teacher's decoder.hidden@1" in card
    assert "parameters of its own" in card
    assert "of the loss terms" in runs


def test_the_projection_learns_and_none_of_it_is_exported(home, runs):
    """Weights of a loss in a student's folder would be loaded by nobody, or worse, warned about by everybody."""
    assert weights(of(home, "hidden")).keys() == weights(of(home, "miniend-e")).keys()
    (checkpoint,) = (of(home, "hidden") / "checkpoints").iterdir()
    tensors = load_file(checkpoint / "state.safetensors")
    own = [name for name in tensors if "projections" in name and name.startswith("trained/")]
    assert len(own) == 2 * 2, "a weight and a bias for each of two layers"
    first, last = (line["validation.hidden_error"] for line in metrics(of(home, "hidden")) if line["step"] in (5, 10))
    assert last < 0.99 * first, "of the same examples, which no two steps of training have in common"


def test_a_killed_run_with_parameters_of_its_own_ends_as_the_unbroken_one(home, runs):
    """A checkpoint that left the terms out would start their projections anew, and nobody would see it in the loss."""
    assert "resumed at step 4" in runs
    assert same_weights(home / "killed", home / "alone-hidden")
    assert metrics(home / "killed") == metrics(home / "alone-hidden")
    killed, unbroken = (
        load_file(next((home / name / "checkpoints").iterdir()) / "state.safetensors")
        for name in ("killed", "alone-hidden")
    )
    assert killed.keys() == unbroken.keys()
    assert all(torch.equal(killed[name], unbroken[name]) for name in killed)


def test_the_added_start_takes_the_layer_that_its_map_names(home, runs):
    """Every second layer: the only layer of the student is the teacher's last."""
    student, teacher = weights(home / "started"), load_file(home / "teacher" / "model.safetensors")
    name = "block.0.layer.0.SelfAttention.q.weight"
    for stack in ("encoder", "decoder"):
        theirs = teacher[f"{stack}.{name.replace('block.0', 'block.1')}"]
        assert torch.allclose(student[f"{stack}.{name}"], theirs, atol=1e-6)


def miniend_command(*arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_two_processes_have_the_losses_of_one_with_an_added_term(home, runs, tmp_path):
    """DDP must exchange the gradients of the terms' own parameters too."""
    options = {**RUN, "cache": home / "cache", "output": tmp_path / "two", "objective": "hidden"}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    plugin = f"--plugin={home / 'my_methods.py'}"
    done = miniend_command(*launcher, "-m", "miniend", "train-student", plugin, *flags)
    assert done.returncode == 0, done.stderr
    for line, other in zip(metrics(home / "alone-hidden"), metrics(tmp_path / "two"), strict=True):
        norms = {name for name in line if name.startswith("gradient_norm")}
        for name in line:  # this loss is large, so that ten steps of rounding are seen in its gradient
            assert other[name] == pytest.approx(line[name], rel=1e-3 if name in norms else 2e-4), name
        assert other.keys() == line.keys()


def test_an_added_kind_is_dumped_and_read_and_named_where_its_module_is_missing(home, tmp_path):
    """A cache of somebody else's kind is not a damaged cache."""
    plugin = f"--plugin={home / 'my_methods.py'}"
    settings = ("--examples=6", "--validation-examples=2", "--calibration-examples=3", "--input-length=32")
    sources = (f"--teacher={home / 'teacher'}", f"--corpus={home / 'corpus.jsonl'}", "--noise-density=0.3")
    cache = tmp_path / "cache"
    dumped = miniend_command(
        *("-m", "miniend", "dump-teacher", plugin, *sources, f"--cache={cache}", *settings),
        *("--signals=decoder.ffn", "--logits=none", "--device=cpu", "--threads=1"),
    )
    assert dumped.returncode == 0, dumped.stderr
    verified = miniend_command("-m", "miniend", "verify", plugin, str(cache))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    with pytest.raises(miniend.errors.MiniEndError, match=r"ffn.*--plugin"):
        miniend.open_cache(cache)
