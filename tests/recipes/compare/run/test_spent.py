"""The seconds of a comparison: all processes and interruptions count."""

import pytest

from miniend.recipes.compare.file.paths import Paths
from miniend.recipes.compare.run import spent as module
from miniend.recipes.compare.run.spent import counted, spent_seconds
from miniend.runtime.claims import Claims


def test_seconds_add_up_by_stage_also_where_an_error_ends_one(tmp_path, monkeypatch):
    clock = iter([0.0, 5.0, 10.0, 12.0, 20.0, 24.0])
    monkeypatch.setattr(module, "perf_counter", lambda: next(clock))
    paths = Paths(tmp_path)
    assert spent_seconds(paths) == {}
    with Claims(tmp_path) as claims:
        with counted("dump", paths, claims):
            pass
        with pytest.raises(OSError, match="full"), counted("training", paths, claims):
            raise OSError("the disk is full")
        with counted("dump", paths, claims):
            pass
    assert spent_seconds(paths) == {"dump": 9.0, "training": 2.0}
