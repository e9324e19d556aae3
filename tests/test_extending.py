"""docs/extending.md, run: its module adds a term, a relation, a layer map, a start and a kind, from outside of the package.

Each job is a process of its own, so that nothing that the page registers is seen by other tests.
"""

import re
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import miniend
from support.runs import KILLED_AFTER_SEVEN_STEPS, RUN, metrics, same_weights, weights
from support.tiny_cache import build_tiny_cache

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
SIGNALS = "encoder.self,decoder.self,decoder.cross,decoder.hidden@0,decoder.hidden@1"
OBJECTIVES = ("states", "value-key", "miniend-e")


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


def train(home, output, *objectives, **settings):
    """The arguments of `miniend` for a training with the page's module."""
    settings = {**RUN, "cache": home / "cache", "output": home / output, **settings}
    given = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items() if value is not None]
    return [
        "train-student",
        f"--plugin={home / 'my_methods.py'}",
        *given,
        *(f"--objective={one}" for one in objectives),
    ]


@pytest.fixture(scope="module")
def runs(home, commands):
    """What every job of this module says: in one pass, alone, killed and resumed, from the start of one's own, and dry."""
    width = miniend.open_cache(home / "cache").plan.teacher.facts.d_model
    first_weights = {
        "size": f"1L{width}H",
        "init": f"every-second:{home / 'teacher'}",
        "relation_heads": None,
        "steps": 1,
        "warmup_steps": 0,
        "learning_rate": 1e-12,
    }
    killed = commands.python(KILLED_AFTER_SEVEN_STEPS, *train(home, "killed", "states"))
    assert killed.wait() == -signal.SIGKILL, killed.written()
    said = []
    for arguments in (
        train(home, "together", *OBJECTIVES),
        train(home, "alone-states", "states"),
        train(home, "alone-value-key", "value-key"),
        train(home, "killed", "states"),
        train(home, "started", "states", **first_weights),
        [*train(home, "dry", "states"), "--dry-run"],
    ):
        process = commands.start(*arguments)
        assert process.wait() == 0, process.written()
        said += process.written()
    return "\n".join(said)


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

    lines = metrics(of(home, "states"))
    assert all({"labels", "hidden_error", "gradient_norm.terms"} <= set(line) for line in lines)
    assert all("value_key" in line for line in metrics(of(home, "value-key")))
    assert "validation.hidden_error" in lines[-1]
    events = EventAccumulator(str(of(home, "states") / "tensorboard"))
    events.Reload()
    assert {"hidden_error", "validation.hidden_error", "gradient_norm.terms"} <= set(events.Tags()["scalars"])
    card = (of(home, "states") / "README.md").read_text()
    assert "squared error of hidden states through a learned projection" in card
    assert "teacher's decoder.hidden@1" in card
    assert "parameters of its own" in card
    assert "of the loss terms" in runs


def test_the_projection_learns_and_none_of_it_is_exported(home, runs):
    """Weights of a loss in a student's folder would be loaded by nobody, or worse, warned about by everybody."""
    assert weights(of(home, "states")).keys() == weights(of(home, "miniend-e")).keys()
    (checkpoint,) = (of(home, "states") / "checkpoints").iterdir()
    tensors = load_file(checkpoint / "state.safetensors")
    own = [name for name in tensors if "projections" in name and name.startswith("trained/")]
    assert len(own) == 2 * 2, "a weight and a bias for each of two layers"
    first, last = (line["validation.hidden_error"] for line in metrics(of(home, "states")) if line["step"] in (5, 10))
    assert last < 0.99 * first, "of the same examples, which no two steps of training have in common"


def test_a_killed_run_with_parameters_of_its_own_ends_as_the_unbroken_one(home, runs):
    """A checkpoint that left the terms out would start their projections anew, and nobody would see it in the loss."""
    assert "resumed at step 4" in runs
    assert same_weights(home / "killed", home / "alone-states")
    assert metrics(home / "killed") == metrics(home / "alone-states")
    killed, unbroken = (
        load_file(next((home / name / "checkpoints").iterdir()) / "state.safetensors")
        for name in ("killed", "alone-states")
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


def test_two_processes_have_the_losses_of_one_with_an_added_term(home, runs, commands, tmp_path):
    """DDP must exchange the gradients of the terms' own parameters too."""
    ranks = commands.ranks(2, *train(home, tmp_path / "two", "states"))
    assert [rank.wait() for rank in ranks] == [0, 0], [rank.written() for rank in ranks]
    for line, other in zip(metrics(home / "alone-states"), metrics(tmp_path / "two"), strict=True):
        norms = {name for name in line if name.startswith("gradient_norm")}
        for name in line:  # this loss is large, so that ten steps of rounding are seen in its gradient
            assert other[name] == pytest.approx(line[name], rel=1e-3 if name in norms else 2e-4), name
        assert other.keys() == line.keys()


def test_an_added_kind_is_dumped_and_read_and_named_where_its_module_is_missing(home, commands, tmp_path):
    """A cache of somebody else's kind is not a damaged cache."""
    plugin = f"--plugin={home / 'my_methods.py'}"
    settings = ("--examples=6", "--validation-examples=2", "--calibration-examples=3", "--input-length=32")
    sources = (f"--teacher={home / 'teacher'}", f"--corpus={home / 'corpus.jsonl'}", "--noise-density=0.3")
    signals, cache = ("--signal=decoder.ffn", "--logits=none", "--device=cpu", "--threads=1"), tmp_path / "cache"
    for arguments in (
        ("dump-teacher", plugin, *sources, f"--cache={cache}", *settings, *signals),
        ("verify", plugin, cache),
    ):
        process = commands.start(*arguments)
        assert process.wait() == 0, process.written()
    with pytest.raises(miniend.errors.MiniEndError, match=r"ffn.*--plugin"):
        miniend.open_cache(cache)
