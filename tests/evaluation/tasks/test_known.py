"""Tasks by name."""

import pytest

from miniend.errors import ConfigurationError
from miniend.evaluation.tasks.known import TASKS, find_task


@pytest.mark.parametrize("name", ["glue/sst-2", "sst2", "glue/", "superglue/cb", "glue/xsum", "summarize/sst2"])
def test_an_unknown_task_is_named_with_those_that_there_are(name):
    """One clear line."""
    with pytest.raises(
        ConfigurationError, match=r"unknown task .*glue/sst2, .*glue/wnli, summarize/cnn_dailymail, .*summarize/pairs"
    ):
        find_task(name)


def test_every_task_is_found_by_kind_and_name():
    """A name without its kind would be another task's one day."""
    assert find_task("glue/sst2") is TASKS["sst2"]
    assert find_task("summarize/xsum") is TASKS["xsum"]
    assert len(TASKS) == 13
    assert all(find_task(task.prefix + name) is task for name, task in TASKS.items())
