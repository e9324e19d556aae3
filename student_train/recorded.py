"""What an output directory knows of the options of its training: `train.yaml`, in a student's folder or above several."""

from collections.abc import Sequence
from pathlib import Path

from ..runtime.given import Record, Values
from ..runtime.listing import entries
from ..runtime.records import as_yaml, record_of
from .config import TrainConfig

RECORD, RUN_FILE = "train.yaml", "run.json"
"""The options with which a run can be repeated, and what identifies it."""


def record_of_pass(
    config: TrainConfig, sizes: Sequence[str | None], objectives: Sequence[str]
) -> tuple[Path, bytes] | None:
    """Return the record of several students in one pass; None if the folder above them holds a student itself."""
    if (config.output / RUN_FILE).exists():
        return None
    from ..models.lent import true_name  # imports torch, which reading a record does not need

    values = record_of(
        config, size=list(sizes), objective=list(objectives), init=config.init and true_name(config.init)
    )
    return config.output / RECORD, as_yaml("train-student", "--output", values)


def recorded_training(given: Values) -> Record | None:
    """Return what the output that is given knows of the options of its training; None if it does not hold one yet."""
    if (output := given.get("output")) is None:
        return None
    output = Path(output)
    path = output / RECORD
    if not path.is_file():
        return None
    from ..runtime.yaml_file import read_yaml
    from .run.directory import steps_of

    values = read_yaml(path, "the record of a training")
    steps = [found for run in (output, *_below(output)) if (found := steps_of(run))]
    if steps and isinstance(values.get("steps"), int):
        values["steps"] = max(values["steps"], *steps)  # a continued run that was killed before its record was written
    return Record(source=str(path), values=values)


def _below(output: Path) -> list[Path]:
    """Return the folders of the students of a pass."""
    return [] if (output / RUN_FILE).exists() else [one for one in entries(output) if (one / RUN_FILE).exists()]
