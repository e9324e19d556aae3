"""Every task by name."""

from typing import Any

from ...errors import ConfigurationError, shortened
from .glue import GLUE_TASKS
from .summaries import SUMMARY_TASKS
from .task import Task

TASKS: dict[str, Task[Any, Any]] = {task.name: task for task in (*GLUE_TASKS, *SUMMARY_TASKS)}


def find_task(name: str) -> Task[Any, Any]:
    """Return the task with a name such as `glue/sst2`. Raises ConfigurationError, with the known names, for any other name."""
    known = {task.prefix + task.name: task for task in TASKS.values()}
    if name not in known:
        raise ConfigurationError(f"unknown task {shortened(repr(name))}; expected one of {', '.join(known)}")
    return known[name]
