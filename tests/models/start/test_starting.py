"""What `--init` asks for: a start by its name with a source, or a checkpoint; and what of a start's student is refused."""

import pytest
import torch

from miniend.errors import CheckpointError, ConfigurationError
from miniend.models.start import STARTS, parse_init, start_student
from support.students import fresh, teacher_of


def start(init, size=None):
    """The student that is asked for beside a teacher of the tests."""
    request = {
        "size": size,
        "proposed_size": "2L32H",
        "teacher_width": 32,
        "seed": 0,
        "teacher_config": teacher_of("t5"),
        "tied": True,
    }
    return start_student(init, request)


def test_a_name_decides_only_where_a_source_follows_it(tmp_path, monkeypatch):
    """A folder that is named like a start, or has a colon in its name, would otherwise never be loaded."""
    monkeypatch.chdir(tmp_path)
    assert parse_init(None) == ("fresh", "")
    assert parse_init("teacher-layers:folder") == ("teacher-layers", "folder")
    assert parse_init("owner/name") == ("checkpoint", "owner/name")
    (tmp_path / "run:2").mkdir()
    assert parse_init("run:2") == ("checkpoint", "run:2")


def test_an_unknown_start_is_refused_with_those_that_exist():
    """Taken for a checkpoint, it would be looked for on the hub."""
    with pytest.raises(ConfigurationError, match="unknown start 'teacher-layer'") as refused:
        start("teacher-layer:folder")
    assert all(name in str(refused.value) for name in STARTS)


def test_a_checkpoint_has_its_own_size_and_the_other_starts_take_the_one_that_is_asked_for():
    """A size that is asked for and ignored puts the wrong number on a card."""
    assert start(None).config.num_layers == 2
    assert start(None, size="1E3D32H").config.num_decoder_layers == 3
    with pytest.raises(ConfigurationError, match="leave --size out"):
        start("folder", size="1L32H")
    with pytest.raises(CheckpointError, match="nowhere"):
        start("teacher-layers:nowhere", size="1L32H")


@pytest.mark.parametrize(
    ("init", "named"),
    [
        ("teacher-layers", "expected teacher-layers:SOURCE, found only a name"),
        ("fresh", "expected fresh:SOURCE, found only a name"),
        ("fresh:folder", "random weights do not have a source; leave --init out"),
    ],
)
def test_a_name_without_its_source_or_a_source_that_nothing_reads_is_refused(init, named, tmp_path, monkeypatch):
    """A name alone would be looked for on the hub; a source that is dropped was meant."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=named):
        start(init)


@pytest.fixture
def started(monkeypatch):
    """Starts with a student that a plugin's start returns."""

    def start_with(student, size=None):
        monkeypatch.setattr(STARTS, "_entries", {"mine": lambda _request: student})
        return start("mine:x", size)

    return start_with


def test_a_start_of_ones_own_is_taken_and_its_dropout_is_off(started):
    """`from_pretrained` has dropout, which every author would forget."""
    student = fresh("t5", True, "2L32H", teacher_of("t5")["vocab_size"])
    student.encoder.dropout.p = 0.1
    assert started(student, size="2L32H").encoder.dropout.p == 0


@pytest.mark.parametrize(
    ("student", "named"),
    [
        (lambda: None, "expected a transformers model of the teacher's family, found NoneType"),
        (lambda: torch.nn.Linear(2, 2), "expected a transformers model of the teacher's family, found Linear"),
        (lambda: fresh("mt5", True, "2L32H", 200), "the start mine has model_type 'mt5', the cache's teacher has 't5'"),
        (lambda: fresh("t5", True, "2L32H", 100), "the start mine has vocab_size 100, the cache's teacher has"),
        (lambda: fresh("t5", True, "2L32H", 200).bfloat16(), "found .* in bfloat16 on cpu; correct the start"),
        (lambda: fresh("t5", True, "2L32H", 200).double(), "in float64 on cpu"),
        (lambda: fresh("t5", True, "2L32H", 200).to("meta"), "in float32 on meta"),
        (lambda: fresh("t5", True, "2L32H", 200).requires_grad_(False), "in float32 on cpu, frozen"),
        (lambda: fresh("t5", True, "1L64H", 200), r"--size 2L32H, found 1\+1 layers of d_model 64"),
    ],
)
def test_a_start_that_returns_something_else_is_refused_by_its_name(started, student, named):
    """It would be trained as it is: frozen, in another dtype, of another size than its folder says."""
    with pytest.raises(ConfigurationError, match=named):
        started(student(), size="2L32H")
