"""What an output directory knows of the options of its evaluation: `evaluate.yaml`."""

from pathlib import Path
from typing import Any

from ..runtime.given import Record, Values
from ..runtime.options import marked
from ..runtime.records import as_yaml, record_of, write_record_file
from ..runtime.yaml_file import read_yaml
from .config import BY_TASK, EvaluateConfig

FILE = "evaluate.yaml"
WHAT = "the record of an evaluation"
OF_A_TASK = ("data", *(name for name in marked(EvaluateConfig, BY_TASK) if name != "protocol"))
"""The options that may suit only the tasks for which they were given."""


def keep_record(config: EvaluateConfig) -> None:
    """Write the options beside the results. Tasks of an earlier command stay in it where all other options are the same."""
    from ..models.lent import true_name  # imports torch, which reading a record does not need

    path, record = config.output / FILE, record_of(config, model=true_name(config.model))
    earlier = read_yaml(path, WHAT) if path.is_file() else {}
    others = {name: value for name, value in record.items() if name not in ("tasks", "seeds", "device")}
    if all(earlier.get(name) == value for name, value in others.items()) and isinstance(earlier.get("tasks"), list):
        record["tasks"] = list(dict.fromkeys([*earlier["tasks"], *record["tasks"]]))
    write_record_file(path, as_yaml("evaluate", "--output", record))


def recorded_evaluation(given: Values) -> Record | None:
    """Return what the output that is given knows of the options of its evaluation; None if it does not hold one yet.

    For a task that is new there, data and settings of the earlier tasks do not count.
    """
    if (output := given.get("output")) is None or not (path := Path(output) / FILE).is_file():
        return None
    values: dict[str, Any] = read_yaml(path, WHAT)
    known = values.get("tasks")
    if isinstance(known, list) and not {*given.get("tasks", ())} <= {*map(str, known)}:
        values = {name: value for name, value in values.items() if name not in OF_A_TASK}
    return Record(source=str(path), values=values)
