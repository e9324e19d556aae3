"""What is timed for the plan, and when it is timed again."""

import pytest

from miniend.recipes.compare.file.paths import Paths
from miniend.recipes.compare.file.reading import read_comparison
from miniend.recipes.compare.run import timing as module
from miniend.recipes.compare.run.timing import measured_timings


@pytest.fixture
def timed(monkeypatch, written, tmp_path):
    """timed(**changed): the timings of a file, and what was measured for it this time."""
    measured = []

    def note(name):
        measured.append(name)
        return 2.0

    monkeypatch.setattr(module, "_begin_cache", lambda _comparison, name, _paths, _log: note(name))
    monkeypatch.setattr(module, "_run_seconds", lambda _comparison, student, _paths: note(student.label))
    monkeypatch.setattr(module, "_evaluation_seconds", lambda _comparison, _paths, *which: note(" ".join(which)))

    def run(**changed):
        measured.clear()
        found = measured_timings(read_comparison(written(**changed)), Paths(tmp_path / "out"), lambda _line: None)
        return found, list(measured)

    return run


def test_what_was_timed_once_is_not_timed_again(timed):
    first, measured = timed()
    assert measured == ["main", "1L32H scratch", "1L32H miniend-e", "teacher glue/sst2", "1L32H glue/sst2"]
    assert timed() == (first, [])


def test_rows_sizes_and_tasks_that_are_added_later_are_timed_then(timed):
    timed()
    found, measured = timed(rows={"scratch": None, "miniend-e": None, "logits": None})
    assert measured == ["1L32H logits"]
    assert found["train"].keys() == {"1L32H scratch", "1L32H miniend-e", "1L32H logits"}
    found, measured = timed(tasks={"glue/sst2": None, "glue/rte": None})
    assert measured == ["teacher glue/rte", "1L32H glue/rte"]
    assert found["evaluate"].keys() == {
        f"{model} glue/{task}" for model in ("teacher", "1L32H") for task in ("sst2", "rte")
    }


def test_steps_on_hard_labels_are_timed_once_for_each_size(timed, monkeypatch):
    monkeypatch.setattr(module, "_continuation_seconds", lambda _comparison, size, _paths: float(size[0]))
    found, _ = timed(continuation={"steps": 2}, sizes=["1L32H", "2L32H"])
    assert found["train"]["1L32H continuation"] == 1.0
    assert found["train"]["2L32H continuation"] == 2.0


def test_an_assistant_is_priced_by_its_own_size(timed):
    _, measured = timed(assistants={"middle": {"size": "2L32H", "objective": "scratch"}})
    assert measured[-1] == "2L32H glue/sst2"


def test_what_the_file_changes_is_timed_again(timed, settings):
    timed()
    _, measured = timed(train=settings()["train"] | {"steps": 8})
    assert measured == ["1L32H scratch", "1L32H miniend-e"]
    _, measured = timed(train=settings()["train"] | {"steps": 8}, dump=settings()["dump"] | {"examples": 48})
    assert measured == []  # as fast as before
