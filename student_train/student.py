"""A student on disk, as a training leaves it: its losses, their curve, its model and its tokenizer."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runtime.progress import quiet_transformers
from ..runtime.showing import Shown, Table, chart, facts, heading
from .run.directory import is_finished
from .run.loss_lines import of_terms
from .run.metrics import VALIDATION, curve, last_validation, read_metrics

LOSS = "loss"


@dataclass(frozen=True, slots=True, repr=False)
class Student(Shown):
    """A student in the directory that `train_student` wrote; `Student(path)` opens an earlier one."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    def __fspath__(self) -> str:
        """Let a student be given where a path is expected, such as `model` of `evaluate`."""
        return str(self.path)

    @property
    def finished(self) -> bool:
        """Whether its training has ended."""
        return is_finished(self.path)

    @property
    def losses(self) -> dict[str, float]:
        """The last validation losses in nats, by name; empty without validation examples."""
        return last_validation(self.path)

    @property
    def steps(self) -> int:
        """The last step in its metrics."""
        return max((line["step"] for line in self.metrics()), default=0)

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of its metrics.jsonl."""
        return read_metrics(self.path) if (self.path / "metrics.jsonl").exists() else []

    def curve(self, name: str = LOSS) -> tuple[list[int], list[float]]:
        """Return steps and values of one metric, such as `loss`, `validation.loss` or `learning_rate`."""
        return curve(self.metrics(), name)

    def model(self) -> Any:
        """Return the trained model, as transformers loads it."""
        from transformers import AutoModelForSeq2SeqLM

        with quiet_transformers():
            return AutoModelForSeq2SeqLM.from_pretrained(self.path)

    def tokenizer(self) -> Any:
        """Return its tokenizer, which is its teacher's, as transformers loads it."""
        from transformers import AutoTokenizer

        with quiet_transformers():
            return AutoTokenizer.from_pretrained(self.path)

    def lines(self) -> Iterator[str]:
        """Yield what it is and its validation losses."""
        yield f"student {self.path}: {self.steps:,} steps{'' if self.finished else ', not finished'}"
        yield "validation: " + (
            ", ".join(f"{name} {loss:.4f}" for name, loss in of_terms(self.losses).items()) or "none"
        )

    def html(self) -> Iterator[str]:
        """Yield a table of its losses and a chart of their course."""
        yield heading(f"student {self.path}: {self.steps:,} steps{'' if self.finished else ', not finished'}")
        yield facts([(name, f"{loss:.4f}") for name, loss in of_terms(self.losses).items()]).html()
        both = {"loss": self.curve(), "validation": self.curve(VALIDATION + LOSS)}
        yield chart({name: list(zip(*points, strict=True)) for name, points in both.items()})


class Students(Shown, tuple[Student, ...]):
    """Several students, shown as one table."""

    def lines(self) -> Iterator[str]:
        """Yield the table."""
        return self._table().lines()

    def html(self) -> Iterator[str]:
        """Yield the table for a notebook."""
        yield self._table().html()

    def _table(self) -> Table:
        losses = [of_terms(student.losses) for student in self]
        names = list(dict.fromkeys(name for one in losses for name in one))
        rows = [
            [student.path.name, f"{student.steps:,}", *(f"{one[name]:.4f}" if name in one else "-" for name in names)]
            for student, one in zip(self, losses, strict=True)
        ]
        return Table(("student", "steps", *names), rows)
