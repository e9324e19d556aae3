"""What an output directory knows of the options of its pruning: `prune.yaml`."""

from pathlib import Path

from ...runtime.given import Record, Values
from ...runtime.records import as_yaml, record_of, write_record_file
from ...runtime.yaml_file import read_yaml
from .config import PruneConfig

FILE = "prune.yaml"


def keep_record(config: PruneConfig) -> None:
    """Write the options beside the sorted teacher."""
    from ...models.lent import true_name  # imports torch, which reading a record does not need

    record = record_of(config, teacher=true_name(config.teacher))
    write_record_file(config.output / FILE, as_yaml("prune-teacher", "--output", record))


def recorded_pruning(given: Values) -> Record | None:
    """Return what the output that is given knows of the options of its pruning; None if it does not hold one yet."""
    if (output := given.get("output")) is None or not (path := Path(output) / FILE).is_file():
        return None
    return Record(source=str(path), values=read_yaml(path, "the record of a pruning"))
