"""What is timed for the plan, and when it is timed again."""

import math

import pytest

from miniend.recipes.compare.file.paths import Paths
from miniend.recipes.compare.file.reading import read_comparison
from miniend.recipes.compare.run import timing as module
from miniend.recipes.compare.run.timing import estimate, measured_timings
from miniend.recipes.compare.run.trial_caches import TrialCaches


@pytest.fixture
def timed(monkeypatch, written, tmp_path):
    """timed(**changed): the timings of a file, and what was measured for it this time."""
    measured, said = [], []

    def note(name):
        measured.append(name)
        return 2.0

    monkeypatch.setattr(module, "_begin_cache", lambda _comparison, name, _paths, _log: note(name))
    monkeypatch.setattr(module, "_run_seconds", lambda _comparison, student, _paths, _trials: note(student.label))
    monkeypatch.setattr(TrialCaches, "filter_seconds", lambda _trials, name: note(f"filters of {name}"))
    monkeypatch.setattr(module, "_evaluation_seconds", lambda _comparison, _paths, *which: note(" ".join(which)))

    def run(total=math.inf, **changed):
        measured.clear()
        paths = Paths(tmp_path / "out")
        found = measured_timings(read_comparison(written(**changed)), paths, said.append, lambda _timings: total)
        return found, list(measured)

    run.said = said

    return run


def test_what_was_timed_once_is_not_timed_again(timed):
    first, measured = timed()
    assert measured == ["main", "1L32H scratch", "1L32H miniend-e", "1L32H glue/sst2", "teacher glue/sst2"]
    assert timed() == (first, [])


def test_rows_sizes_and_tasks_that_are_added_later_are_timed_then(timed):
    timed()
    found, measured = timed(rows={"scratch": None, "miniend-e": None, "logits": None})
    assert measured == ["1L32H logits"]
    assert found["train"].keys() == {"1L32H scratch", "1L32H miniend-e", "1L32H logits"}
    found, measured = timed(tasks={"glue/sst2": None, "glue/rte": None})
    assert measured == ["1L32H glue/rte", "teacher glue/rte"]
    assert found["evaluate"].keys() == {
        f"{model} glue/{task}" for model in ("teacher", "1L32H") for task in ("sst2", "rte")
    }


def test_steps_on_hard_labels_are_timed_once_for_each_size(timed, monkeypatch):
    monkeypatch.setattr(module, "_continuation_seconds", lambda _comparison, size, _paths: float(size[0]))
    found, _ = timed(continuation={"steps": 2}, sizes=["1L32H", "2L32H"])
    assert found["train"]["1L32H continuation"] == 1.0
    assert found["train"]["2L32H continuation"] == 2.0


def test_filters_are_timed_by_cache_and_never_estimated(timed, settings):
    dump = settings()["dump"] | {"signals": ["encoder.hidden@all"], "filters": {"filter_steps": 3}}
    rows = {"ted": None, "narrow": {"objective": "ted", "cache": "narrow"}}
    caches = {"narrow": {"filters": {"filter_width": 4}}}
    found, measured = timed(total=0.0, dump=dump, rows=rows, caches=caches)
    assert measured[:4] == ["main", "narrow", "filters of main", "filters of narrow"]
    assert found["filters"] == {"main": 2.0, "narrow": 2.0}
    _, measured = timed(dump=dump | {"filters": {"filter_steps": 4}}, rows=rows, caches=caches)
    assert [name for name in measured if "filters" in name] == ["filters of main"]


def test_a_part_of_a_sorted_teacher_is_priced_by_its_share_of_the_teacher(timed, written, settings):
    """The trials of these sizes take less than the teacher, whose work a folder tells; that of a hub name is not known."""
    rest = {
        "sizes": ["keep-0.5", "keep-0.25"],
        "train": settings()["train"] | {"init": "pruned:a"},
        "rows": {"scratch": None},
    }
    found, measured = timed(total=0.0, **rest)
    assert measured == ["main", "keep-0.25 scratch", "keep-0.25 glue/sst2"]
    assert found["train"]["keep-0.5 scratch"] == pytest.approx(2 * found["train"]["keep-0.25 scratch"])
    assert found["evaluate"]["teacher glue/sst2"] == pytest.approx(4 * found["evaluate"]["keep-0.25 glue/sst2"])
    assert set(module._works(read_comparison(written(**rest, teacher="google-t5/t5-base"))).values()) == {1.0}


def test_an_assistant_is_priced_by_its_own_size(timed):
    _, measured = timed(assistants={"middle": {"size": "2L32H", "objective": "scratch"}})
    assert measured[-2] == "2L32H glue/sst2"


def test_what_the_file_changes_is_timed_again(timed, settings):
    timed()
    _, measured = timed(train=settings()["train"] | {"steps": 8})
    assert measured == ["1L32H scratch", "1L32H miniend-e"]
    _, measured = timed(train=settings()["train"] | {"steps": 8}, dump=settings()["dump"] | {"examples": 48})
    assert measured == []  # as fast as before


def test_a_plan_of_little_work_measures_what_it_must_and_estimates_the_rest(timed):
    """The teacher has 2 + 2 layers of the students' width, a size of 2L64H eight times the work of 1L32H."""
    found, measured = timed(total=0.0, sizes=["2L64H", "1L32H"], rows={"scratch": None})
    assert measured == ["main", "1L32H scratch", "1L32H glue/sst2"]
    assert found["train"]["2L64H scratch"] == pytest.approx(8 * found["train"]["1L32H scratch"])
    assert found["evaluate"]["teacher glue/sst2"] >= found["evaluate"]["2L64H glue/sst2"]
    assert any("3 measured; 3 estimated from the others, to keep the plan short" in line for line in timed.said)


def test_an_estimate_is_measured_where_there_is_time_for_it(timed):
    timed(total=0.0, sizes=["2L64H", "1L32H"], rows={"scratch": None})
    assert "2L64H scratch" in timed(sizes=["2L64H", "1L32H"], rows={"scratch": None})[1]


def test_a_row_that_is_switched_off_is_not_timed(timed):
    _, measured = timed(rows={"scratch": None, "miniend-e": False})
    assert "1L32H miniend-e" not in measured


@pytest.mark.parametrize(
    ("known", "seconds"),
    [({"1L32H b": 2.0}, 16.0), ({"1L32H a": 1.0, "1L32H b": 2.0}, 16.0), ({"1L32H a": 1.0}, 8.0), ({}, None)],
)
def test_an_estimate_is_that_of_the_same_work_at_another_size(known, seconds):
    assert estimate(known, "2L64H b", {"1L32H": 1.0, "2L64H": 8.0}) == seconds
