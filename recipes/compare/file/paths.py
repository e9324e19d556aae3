"""The paths of everything in a comparison.

OUT/caches/NAME                                caches
OUT/students/SIZE-ROW-lr-RATE-seed-N           students, Hugging Face directories; if the loss was not finite, there is
                                               SIZE-ROW-lr-RATE-seed-N.failed instead, which says so
OUT/students/SIZE-untrained                    random weights of that size
OUT/continued/NAME                             the same students after further steps on hard labels
OUT/evaluated/teacher, .../NAME                   evaluations, named like their students; for the teacher and random weights
                                               also the validation cross-entropy
OUT/pace.json                                  the timings behind the plan of hours
OUT/trial-caches/NAME                          caches with trial filters, while the plan is made
OUT/spent.json                                 the seconds that each stage has taken so far
OUT/settings.json                              the settings of students and evaluations
OUT/comparison.json, report.md, report.html    the results, with pictures
"""

from dataclasses import dataclass
from pathlib import Path

from ....student_train.config import size_name
from .settings import Student

UNTRAINED = "untrained"


def failure(student: Path) -> Path:
    """Return the file that says why this student could not be trained."""
    return student.with_name(f"{student.name}.failed")


@dataclass(frozen=True, slots=True)
class Paths:
    """Paths below the output directory."""

    root: Path

    def cache(self, name: str) -> Path:
        """Return the path of a cache."""
        return self.root / "caches" / name

    def student(self, student: Student, rate: float, seed: int) -> Path:
        """Return the path of a trained student."""
        return self.root / "students" / f"{size_name(student.size)}-{student.name}-lr-{rate:g}-seed-{seed}"

    def continued(self, student: Path) -> Path:
        """Return the path of a trained student after further steps on hard labels."""
        return self.root / "continued" / student.name

    def untrained(self, size: str) -> Path:
        """Return the path of random weights of a size."""
        return self.root / "students" / f"{size_name(size)}-{UNTRAINED}"

    @property
    def teacher_evaluation(self) -> Path:
        """The path of the teacher's evaluation."""
        return self.root / "evaluated" / "teacher"

    def evaluation(self, model: Path) -> Path:
        """Return the path of the evaluation of a student or of random weights."""
        return self.root / "evaluated" / model.name

    @property
    def folders(self) -> dict[str, Path]:
        """The folders whose bytes the report names."""
        return {name: self.root / name for name in ("caches", "students", "continued", "evaluated")}

    @property
    def trial_caches(self) -> Path:
        """The folder of the caches with trial filters, on which the plan times students."""
        return self.root / "trial-caches"

    @property
    def timings(self) -> Path:
        """The path of the timings behind the plan."""
        return self.root / "pace.json"

    @property
    def spent(self) -> Path:
        """The path of the seconds that each stage has taken."""
        return self.root / "spent.json"

    @property
    def settings(self) -> Path:
        """The path of the settings that must not change."""
        return self.root / "settings.json"

    @property
    def comparison(self) -> Path:
        """The path of all results."""
        return self.root / "comparison.json"
