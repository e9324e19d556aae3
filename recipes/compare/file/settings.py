"""The parts of a comparison: students, caches and tasks, and the settings of each stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....evaluation.config import EvaluateConfig, EvaluateSettings
from ....runtime.options import completed
from ....student_train.config import StepSettings, TrainConfig, TrainSettings
from ....student_train.objective import OBJECTIVES, OPTIONAL_LOGITS
from ....teacher_dump.config import DumpConfig, DumpSettings
from ...filters.config import FiltersConfig, FilterSettings

Options = Mapping[str, Any]

MAIN = "main"
"""The name of the teacher's own cache."""


KEEP = "keep-"
"""The beginning of the size of a part of a sorted teacher, such as keep-0.3; the rest is the fraction that is kept."""


def kept(size: str) -> float | None:
    """Return the fraction of heads and neurons that a size such as keep-0.3 keeps; None for another size."""
    if not size.startswith(KEEP):
        return None
    try:
        return float(size.removeprefix(KEEP))
    except ValueError:
        return None


def known_rows() -> dict[str, Options]:
    """Return the rows that need only a name, with their options of train-student.

    They are all objectives, also the objectives of plugins. Among them are the rows of the MiniEnD paper's table, as far as it
    is known.
    """
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
    """The settings of training, without learning rate and seed."""
    learning_rates: tuple[float, ...]
    """The rates to try with the first seed of distillation."""

    @property
    def size(self) -> str:
        """The size, which every row and assistant states."""
        keep = self.settings.keep
        return str(self.settings.size) if keep is None else f"{KEEP}{keep:g}"

    @property
    def label(self) -> str:
        """Size and name."""
        return f"{self.size} {self.name}"


@dataclass(frozen=True, slots=True)
class CacheRecipe:
    """How a cache is made."""

    teacher: str | None
    """The name of an assistant; None for the comparison's teacher."""
    settings: DumpSettings
    filters: FilterSettings | None
    """The task-aware filters that are added to it; None for none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The content of a file."""

    teacher: str
    device: str
    caches: Mapping[str, CacheRecipe]
    students: tuple[Student, ...]
    """All rows in all sizes, size by size."""
    assistants: Mapping[str, Student]
    pairs: tuple[tuple[str, str], ...]
    """Pairs of row names; the difference is the first minus the second."""
    seeds: int
    tasks: Mapping[str, EvaluateSettings]
    continuation: StepSettings | None
    """The further steps on hard labels of every student; None for no such steps."""

    @property
    def sizes(self) -> tuple[str, ...]:
        """The sizes of the rows."""
        return tuple(dict.fromkeys(student.size for student in self.students))

    @property
    def everyone(self) -> tuple[Student, ...]:
        """All rows and assistants."""
        return (*self.students, *self.assistants.values())

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """All rates that a row or an assistant tries, the smallest first."""
        return tuple(sorted({rate for student in self.everyone for rate in student.learning_rates}))

    @property
    def all_sizes(self) -> tuple[str, ...]:
        """The sizes of rows and assistants."""
        return tuple(dict.fromkeys(student.size for student in self.everyone))

    def shape(self, size: str) -> dict[str, Any]:
        """Return the options of train-student that give a model of a size: `size`, or `init` and `keep`."""
        settings = next(one.settings for one in self.everyone if one.size == size)
        return {"size": size} if settings.keep is None else {"init": settings.init, "keep": settings.keep}

    def dump(self, name: str, teacher: str, cache: Path) -> DumpConfig:
        """Return the configuration of a cache's dump."""
        return completed(DumpConfig, self.caches[name].settings, teacher=teacher, cache=cache, device=self.device)

    def filters(self, name: str, teacher: str, cache: Path) -> FiltersConfig | None:
        """Return the configuration of a cache's filters; None for a cache without them."""
        settings = self.caches[name].filters
        if settings is None:
            return None
        return completed(FiltersConfig, settings, teacher=teacher, cache=cache, device=self.device)

    def train(self, student: Student, cache: Path, output: Path, rate: float, seed: int) -> TrainConfig:
        """Return the configuration of a student's training."""
        run_options: dict[str, Any] = {"cache": cache, "output": output, "device": self.device}
        return completed(TrainConfig, student.settings, **run_options, learning_rate=rate, seed=seed)

    def continued(self, cache: Path, output: Path, seed: int, **start: Any) -> TrainConfig:
        """Return the configuration of further steps on hard labels; `start` has the options that say where they start."""
        run_options: dict[str, Any] = {"cache": cache, "output": output, "device": self.device, "seed": seed}
        steps = self.continuation or StepSettings()
        return completed(TrainConfig, steps, **run_options, objective="scratch", **start)

    def evaluate(self, task: str, model: str, output: Path) -> EvaluateConfig:
        """Return the configuration of a model's evaluation on a task."""
        return completed(
            EvaluateConfig, self.tasks[task], model=model, tasks=(task,), output=output, device=self.device
        )
