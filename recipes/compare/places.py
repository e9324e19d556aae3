"""Where everything of a comparison lies.

OUT/caches/NAME                                caches
OUT/students/SIZE-ROW-lr-RATE-seed-N           students, Hugging Face directories; beside one whose loss was not finite, in
                                               its place, SIZE-ROW-lr-RATE-seed-N.failed, which says so
OUT/students/SIZE-untrained                    random weights of that size
OUT/judged/teacher, .../SIZE-ROW-seed-N        evaluations
OUT/pace.json                                  what was timed for the plan of hours
OUT/comparison.json, report.md, report.html    what came out, with its pictures
"""

from dataclasses import dataclass
from pathlib import Path

from .settings import Student

UNTRAINED = "untrained"


@dataclass(frozen=True, slots=True)
class Places:
    """Paths below the output directory."""

    root: Path

    def cache(self, name: str) -> Path:
        """A cache."""
        return self.root / "caches" / name

    def student(self, student: Student, rate: float, seed: int) -> Path:
        """A trained student."""
        return self.root / "students" / f"{_short(student.size)}-{student.name}-lr-{rate:g}-seed-{seed}"

    def failure(self, student: Student, rate: float, seed: int) -> Path:
        """Why there is no such student."""
        path = self.student(student, rate, seed)
        return path.with_name(f"{path.name}.failed")

    def untrained(self, size: str) -> Path:
        """A student that has learned nothing."""
        return self.root / "students" / f"{_short(size)}-{UNTRAINED}"

    @property
    def teacher_judged(self) -> Path:
        """The teacher's evaluation."""
        return self.root / "judged" / "teacher"

    def untrained_judged(self, size: str) -> Path:
        """The evaluation of random weights."""
        return self.root / "judged" / f"{_short(size)}-{UNTRAINED}"

    def judged(self, student: Student, seed: int) -> Path:
        """A student's evaluation."""
        return self.root / "judged" / f"{_short(student.size)}-{student.name}-seed-{seed}"

    @property
    def pace(self) -> Path:
        """Measurements of the plan."""
        return self.root / "pace.json"

    @property
    def comparison(self) -> Path:
        """All results."""
        return self.root / "comparison.json"


def _short(size: str) -> str:
    """A size string, or the name of the folder of a config.json."""
    path = Path(size)
    return path.absolute().parent.name if path.suffix == ".json" else path.name
