"""Where everything of a comparison lies.

OUT/caches/NAME                                caches
OUT/students/SIZE-ROW-lr-RATE-seed-N           students, Hugging Face directories; beside one whose loss was not finite, in
                                               its place, SIZE-ROW-lr-RATE-seed-N.failed, which says so
OUT/students/SIZE-untrained                    random weights of that size
OUT/continued/NAME                             the same students after further steps on hard labels
OUT/judged/teacher, .../NAME                   evaluations, each named as its student is; with the held-out cross-entropy of
                                               the teacher and of random weights
OUT/pace.json                                  what was timed for the plan of hours
OUT/settings.json                              what students and evaluations were made with
OUT/comparison.json, report.md, report.html    what came out, with its pictures
"""

from dataclasses import dataclass
from pathlib import Path

from ....student_train.config import size_name
from .settings import Student

UNTRAINED = "untrained"


def failure(student: Path) -> Path:
    """Why there is no student at this place."""
    return student.with_name(f"{student.name}.failed")


@dataclass(frozen=True, slots=True)
class Places:
    """Paths below the output directory."""

    root: Path

    def cache(self, name: str) -> Path:
        """A cache."""
        return self.root / "caches" / name

    def student(self, student: Student, rate: float, seed: int) -> Path:
        """A trained student."""
        return self.root / "students" / f"{size_name(student.size)}-{student.name}-lr-{rate:g}-seed-{seed}"

    def continued(self, student: Path) -> Path:
        """A trained student after further steps on hard labels, by where it lies."""
        return self.root / "continued" / student.name

    def untrained(self, size: str) -> Path:
        """A student that has learned nothing."""
        return self.root / "students" / f"{size_name(size)}-{UNTRAINED}"

    @property
    def teacher_judged(self) -> Path:
        """The teacher's evaluation."""
        return self.root / "judged" / "teacher"

    def judged(self, model: Path) -> Path:
        """The evaluation of a student or of random weights, by where that lies."""
        return self.root / "judged" / model.name

    @property
    def pace(self) -> Path:
        """Measurements of the plan."""
        return self.root / "pace.json"

    @property
    def settings(self) -> Path:
        """What has to stay the same."""
        return self.root / "settings.json"

    @property
    def comparison(self) -> Path:
        """All results."""
        return self.root / "comparison.json"
