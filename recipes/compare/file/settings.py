"""What a comparison is made of: students, caches and tasks, and the settings under which each stage runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....evaluation.evaluate import EvaluateConfig
from ....student_train.config import TrainConfig
from ....student_train.objective import OBJECTIVES, OPTIONAL_LOGITS
from ....teacher_dump.config import DumpConfig

Options = Mapping[str, Any]

MAIN = "main"
"""The cache of the teacher itself."""
ROWS: dict[str, Options] = {
    **{name: {"objective": name} for name in OBJECTIVES},
    **{f"{name}-no-logits": {"objective": name, "logits": False} for name in OPTIONAL_LOGITS},
}
"""The rows of the MiniEnD paper's table, as far as it is known; options of train-student."""


@dataclass(frozen=True, slots=True)
class Student:
    """A row in one size, or an assistant."""

    name: str
    size: str
    cache: str
    options: Options
    """Of train-student."""
    learning_rates: tuple[float, ...]
    """Tried with the first seed of distillation."""

    @property
    def label(self) -> str:
        """Size and name."""
        return f"{self.size} {self.name}"


@dataclass(frozen=True, slots=True)
class CacheRecipe:
    """A cache: who teaches, and how it is dumped."""

    teacher: str | None
    """Name of an assistant; the comparison's teacher where it is None."""
    options: Options
    """Of dump-teacher."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Everything that a file says."""

    teacher: str
    device: str
    caches: Mapping[str, CacheRecipe]
    students: tuple[Student, ...]
    """Rows times sizes, a size after the other."""
    assistants: Mapping[str, Student]
    pairs: tuple[tuple[str, str], ...]
    """Names of rows: the difference is that of the first less the second."""
    seeds: int
    tasks: Mapping[str, Options]
    """Name -> options of evaluate."""
    continuation: Options | None
    """Of train-student, for the steps on hard labels that every student goes on with; None where there are none."""

    @property
    def sizes(self) -> tuple[str, ...]:
        """Of the rows."""
        return tuple(dict.fromkeys(student.size for student in self.students))

    @property
    def everyone(self) -> tuple[Student, ...]:
        """Rows and assistants."""
        return (*self.students, *self.assistants.values())

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """All that somebody tries, from the smallest on."""
        return tuple(sorted({rate for student in self.everyone for rate in student.learning_rates}))

    @property
    def all_sizes(self) -> tuple[str, ...]:
        """Of rows and assistants."""
        return tuple(dict.fromkeys(student.size for student in self.everyone))

    def dump(self, name: str, teacher: str, cache: Path) -> DumpConfig:
        """How a cache is dumped."""
        return DumpConfig(teacher=teacher, cache=cache, device=self.device, **self.caches[name].options)

    def train(self, student: Student, cache: Path, output: Path, rate: float, seed: int) -> TrainConfig:
        """How a student is trained."""
        places: dict[str, Any] = {"cache": cache, "output": output, "device": self.device}
        return TrainConfig(**places, size=student.size, learning_rate=rate, seed=seed, **student.options)

    def continued(
        self, cache: Path, output: Path, seed: int, init: str | None = None, size: str | None = None
    ) -> TrainConfig:
        """How a student goes on with hard labels, or one of random weights of a size, which takes as long."""
        places: dict[str, Any] = {"cache": cache, "output": output, "device": self.device, "seed": seed}
        return TrainConfig(**places, objective="scratch", init=init, size=size, **(self.continuation or {}))

    def evaluate(self, task: str, model: str, output: Path) -> EvaluateConfig:
        """How a model is judged on a task."""
        return EvaluateConfig(model=model, tasks=(task,), output=output, device=self.device, **self.tasks[task])
