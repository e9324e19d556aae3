"""What a comparison is made of: students, caches and tasks, and the settings under which each stage runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....evaluation.config import EvaluateConfig, EvaluateSettings
from ....runtime.options import completed
from ....student_train.config import DEFAULT_SIZE, StepSettings, TrainConfig, TrainSettings
from ....student_train.objective import OBJECTIVES, OPTIONAL_LOGITS
from ....teacher_dump.config import DumpConfig, DumpSettings

Options = Mapping[str, Any]

MAIN = "main"
"""The cache of the teacher itself."""


def known_rows() -> dict[str, Options]:
    """Return the rows that their name describes, with their options of train-student: every objective, those of plugins
    included. Among them are the rows of the MiniEnD paper's table, as far as it is known."""
    return {
        **{name: {"objective": name} for name in OBJECTIVES},
        **{f"{name}-no-logits": {"objective": name, "logits": False} for name in OPTIONAL_LOGITS},
    }


@dataclass(frozen=True, slots=True)
class Student:
    """A row in one size, or an assistant."""

    name: str
    cache: str
    settings: TrainSettings
    """How it is trained, but for learning rate and seed."""
    learning_rates: tuple[float, ...]
    """Tried with the first seed of distillation."""

    @property
    def size(self) -> str:
        """The size, which every student of a comparison has."""
        return self.settings.size or DEFAULT_SIZE

    @property
    def label(self) -> str:
        """Size and name."""
        return f"{self.size} {self.name}"


@dataclass(frozen=True, slots=True)
class CacheRecipe:
    """A cache: who teaches, and how it is dumped."""

    teacher: str | None
    """Name of an assistant; the comparison's teacher where it is None."""
    settings: DumpSettings


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
    tasks: Mapping[str, EvaluateSettings]
    continuation: StepSettings | None
    """The steps on hard labels that every student goes on with; None where there are none."""

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
        return completed(DumpConfig, self.caches[name].settings, teacher=teacher, cache=cache, device=self.device)

    def train(self, student: Student, cache: Path, output: Path, rate: float, seed: int) -> TrainConfig:
        """How a student is trained."""
        places: dict[str, Any] = {"cache": cache, "output": output, "device": self.device}
        return completed(TrainConfig, student.settings, **places, learning_rate=rate, seed=seed)

    def continued(
        self, cache: Path, output: Path, seed: int, init: str | None = None, size: str | None = None
    ) -> TrainConfig:
        """How a student goes on with hard labels, or one of random weights of a size, which takes as long."""
        places: dict[str, Any] = {"cache": cache, "output": output, "device": self.device, "seed": seed}
        steps = self.continuation or StepSettings()
        return completed(TrainConfig, steps, **places, objective="scratch", init=init, size=size)

    def evaluate(self, task: str, model: str, output: Path) -> EvaluateConfig:
        """How a model is judged on a task."""
        return completed(
            EvaluateConfig, self.tasks[task], model=model, tasks=(task,), output=output, device=self.device
        )
