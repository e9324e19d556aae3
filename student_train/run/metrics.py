"""The run's log: one JSON object per line in metrics.jsonl, and the same numbers as TensorBoard events.

A resumed run repeats the steps after its checkpoint. So the lines that an interrupted run wrote beyond it are removed from the
file, and TensorBoard's purge step makes it ignore the events. Each step then appears once, as if nothing had happened.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch.utils.tensorboard import SummaryWriter

from ...errors import TrainingError, in_one_line
from ...runtime.durable import write_durably
from ...runtime.json_file import parse_json
from ...storage.documents.parse import OTHERS, parse_plain
from ...storage.documents.values import Natural, Number

Value = float | int | str | None

VALIDATION = "validation."
"""The prefix of the names of values that were measured on the validation examples."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricsLine:
    """What a line must hold; its values are texts, or what `Means` holds."""

    step: Natural
    values: Mapping[str, Any] = field(default_factory=dict, metadata=OTHERS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """Numbers, or None for those that were not finite."""

    means: Mapping[str, Number | None]


class MetricsLog:
    """Appends to `output/metrics.jsonl` and `output/tensorboard`; usable in a `with` block.

    `resume_step` is the last step whose line is kept; 0 means that the run starts anew, and drops every line.
    """

    def __init__(self, output: Path, resume_step: int) -> None:
        output.mkdir(parents=True, exist_ok=True)
        path = output / "metrics.jsonl"
        if path.exists():
            write_durably(path, _lines_until(path, resume_step))
        self._file = path.open("a", encoding="utf-8")
        purge = resume_step + 1 if resume_step else 0
        self._events: Any = SummaryWriter(str(output / "tensorboard"), purge_step=purge)

    def log(self, step: int, values: Mapping[str, Value]) -> None:
        """Write one line, flushed, and its numbers as events.

        `values` must be flat. A number that is not finite is null in the file, because JSON cannot express it, and TensorBoard
        does not get it. Raises TypeError for nested values.
        """
        line = {"step": step} | {key: _plain(key, value) for key, value in values.items()}
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()
        for key, value in line.items():
            if isinstance(value, int | float) and key != "step":
                self._events.add_scalar(key, value, step)
        self._events.flush()

    def close(self) -> None:
        """Close the file and TensorBoard; later calls of `log` fail."""
        self._file.close()
        self._events.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def _plain(key: str, value: Value) -> Value:
    if not (value is None or isinstance(value, float | int | str)):
        raise TypeError(f"metric {key!r} must be a number, a string or None, not {type(value).__name__}")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _lines_until(path: Path, resume_step: int) -> bytes:
    """Return the lines of a metrics file up to a step. A last line without its newline was cut off by a kill and is dropped."""
    if not resume_step:
        return b""
    whole = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    kept = [line for number, line in enumerate(whole, start=1) if _parsed(path, number, line)["step"] <= resume_step]
    return b"".join(kept)


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """Return one line. Raise TrainingError, which names it, unless it has a step and only numbers."""
    try:
        found = parse_json(line)
        values = parse_plain(MetricsLine, found).values
        parse_plain(Means, {"means": {key: value for key, value in values.items() if not isinstance(value, str)}})
        return dict(found)
    except ValueError as error:
        raise TrainingError(
            f"{path}, line {number}, is not a line of metrics ({in_one_line(error)}); move the file away to go on without it"
        ) from error


def last_validation(output: Path) -> dict[str, float]:
    """Return the validation means of the last evaluation in a run's metrics.jsonl, by name; empty if it does not hold any."""
    latest: dict[str, float] = {}
    for line in read_metrics(output):
        values = {
            key.removeprefix(VALIDATION): value
            for key, value in line.items()
            if key.startswith(VALIDATION) and not isinstance(value, str)
        }
        latest = values or latest
    return latest


def validation_mean(output: Path, name: str) -> float | None:
    """Return one mean of `last_validation`; None if it was not finite. Raises TrainingError if the run did not measure it."""
    latest = last_validation(output)
    if name not in latest:
        raise TrainingError(
            f"{output / 'metrics.jsonl'} does not hold {VALIDATION}{name}; train into another directory"
        )
    return latest[name]


def read_metrics(output: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's metrics.jsonl. Raises TrainingError for a line that no run writes."""
    path = output / "metrics.jsonl"
    return [_parsed(path, number, line) for number, line in enumerate(path.read_bytes().splitlines(), start=1)]


def curve(lines: Sequence[Mapping[str, Any]], name: str) -> tuple[list[int], list[float]]:
    """Return the steps and values of the lines that have a number of this name."""
    points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
    return [step for step, _ in points], [value for _, value in points]
