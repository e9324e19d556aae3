"""What an output directory knows of the options of its schedule: `schedule.yaml`."""

from pathlib import Path

from ...runtime.given import Record, Values
from ...runtime.records import as_yaml, record_of, write_record_file
from ...runtime.yaml_file import read_yaml
from .config import ScheduleConfig

RECORD = "schedule.yaml"


def keep_record(config: ScheduleConfig) -> None:
    """Write the options beside what they make."""
    write_record_file(config.output / RECORD, as_yaml("schedule", "--output", record_of(config)))


def recorded_schedule(given: Values) -> Record | None:
    """Return what the output that is given knows of the options of its schedule; None if it does not hold one yet."""
    if (output := given.get("output")) is None or not (path := Path(output) / RECORD).is_file():
        return None
    return Record(source=str(path), values=read_yaml(path, "the record of a schedule"))
