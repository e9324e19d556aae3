"""What may be added to a comparison that has begun, and what may not change."""

import pytest

from miniend.errors import RunMismatchError
from miniend.recipes.compare.file.paths import Paths
from miniend.recipes.compare.file.reading import read_comparison
from miniend.recipes.compare.run.settings_guard import keep_settings, require_same_settings


@pytest.fixture
def begun(written, tmp_path):
    """begun(**changed) raises RunMismatchError where the changed file may not go on from the unchanged one."""
    paths = Paths(tmp_path / "out")
    keep_settings(read_comparison(written()), paths)
    return lambda **changed: require_same_settings(read_comparison(written(**changed)), paths)


def test_more_of_everything_may_be_added_and_rows_left_out(begun, settings):
    begun()
    begun(rows={"scratch": None, "logits": None}, sizes=["1L32H", "2L32H"], seeds=5, learning_rates=[1e-4, 1e-3, 3e-3])
    begun(tasks={"glue/rte": None}, evaluate=settings()["evaluate"] | {"seeds": 4, "data": "elsewhere"})
    begun(train=settings()["train"] | {"save_every": 1})


@pytest.mark.parametrize(
    ("section", "changed", "message"),
    [
        ("train", {"steps": 8}, "student 1L32H scratch: steps: there 4, now 8"),
        ("dump", {"examples": 48}, "student 1L32H scratch: examples of the dump: there 24, now 48"),
        ("evaluate", {"epochs": 2}, "task glue/sst2: epochs: there 1, now 2"),
    ],
)
def test_settings_of_what_is_finished_may_not_change(begun, settings, section, changed, message):
    with pytest.raises(RunMismatchError, match=message):
        begun(**{section: settings()[section] | changed})


def test_filters_may_be_added_later_and_not_changed(written, settings, tmp_path):
    """A student that learned from other filters would be compared with the rest."""
    paths, states = Paths(tmp_path / "out"), settings()["dump"] | {"signals": ["encoder.hidden@all"]}

    def file(**filters):
        return read_comparison(written(dump=states | {"filters": filters}))

    keep_settings(read_comparison(written(dump=states)), paths)
    require_same_settings(file(filter_steps=3), paths)
    keep_settings(file(filter_steps=3), paths)
    require_same_settings(file(filter_steps=3), paths)
    with pytest.raises(RunMismatchError, match="filters of main: filter_steps: there 3, now 4"):
        require_same_settings(file(filter_steps=4), paths)


def test_a_row_that_is_left_out_for_a_while_is_not_forgotten(written, tmp_path):
    paths = Paths(tmp_path / "out")
    keep_settings(read_comparison(written()), paths)
    keep_settings(read_comparison(written(rows={"logits": None})), paths)
    with pytest.raises(RunMismatchError, match="1L32H scratch: max_grad_norm"):
        require_same_settings(read_comparison(written(rows={"scratch": {"max_grad_norm": 5}})), paths)


def test_a_start_may_be_spelled_in_another_way_but_not_be_another(written, tmp_path, monkeypatch):
    """Relative and absolute, with and without a slash: the row is the same."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "teacher").mkdir()
    paths = Paths(tmp_path / "out")

    def rows(source):
        return read_comparison(written(rows={"sliced": {"objective": "minilm", "init": f"teacher-layers:{source}"}}))

    keep_settings(rows("teacher"), paths)
    for spelling in ("teacher/", "./teacher", str(tmp_path / "teacher")):
        require_same_settings(rows(spelling), paths)
    with pytest.raises(RunMismatchError, match="sliced: init: there "):
        require_same_settings(rows("elsewhere"), paths)
