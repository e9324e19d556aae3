"""What `--init` asks for: a start by its name with a source, or a checkpoint."""

import pytest

from miniend.errors import CheckpointError, ConfigurationError
from miniend.models.start import STARTS, parse_init, start_student
from support.students import teacher_of


def start(init, size=None):
    """The student that is asked for beside a teacher of the tests."""
    request = {"size": size, "default_size": "2L32H", "seed": 0, "teacher_config": teacher_of("t5"), "tied": True}
    return start_student(init, request)


def test_a_name_decides_only_where_a_source_follows_it(tmp_path, monkeypatch):
    """A folder that is named like a start, or has a colon in its name, would otherwise never be loaded."""
    monkeypatch.chdir(tmp_path)
    assert parse_init(None) == ("fresh", "")
    assert parse_init("teacher-layers:folder") == ("teacher-layers", "folder")
    assert parse_init("owner/name") == ("checkpoint", "owner/name")
    assert parse_init("teacher-layers") == ("checkpoint", "teacher-layers")
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
