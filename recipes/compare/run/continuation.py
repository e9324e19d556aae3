"""Train every student for a few further steps on hard labels, from where its own objective left it.

An objective without the logit term leaves the head untrained, so the student's cross-entropy says nothing. After the same steps
with the same examples, rate and seed, the cross-entropies of all rows can be compared.
"""

from collections.abc import Sequence
from pathlib import Path

from ....runtime.claims import Claims
from ....runtime.progress import Log
from ....student_train.config import TrainConfig
from ....student_train.run.directory import is_finished
from ....student_train.run.metrics import validation_mean
from ..file.paths import Paths
from ..file.settings import MAIN, Comparison, Student
from .sharing import share
from .training import Training, is_settled, train_finite


class Continuation:
    """Continue the students that are not continued yet."""

    def __init__(self, comparison: Comparison, paths: Paths, training: Training, claims: Claims, log: Log) -> None:
        self._comparison, self._paths, self._training = comparison, paths, training
        self._claims, self._log = claims, log

    def train(self, students: Sequence[Student], seed: int) -> None:
        """Continue all students of a seed in one pass over the teacher's cache."""
        configs = [self._config(student, seed) for student in students]
        share(
            self._claims,
            [configs],
            lambda config: f"continued-{config.output.name}",
            lambda config: is_settled(config.output),
            lambda some: train_finite(some, self._log),
        )

    def _config(self, student: Student, seed: int) -> TrainConfig:
        trained = self._training.output(student, seed)
        cache, output = self._paths.cache(MAIN), self._paths.continued(trained)
        return self._comparison.continued(cache, output, seed, init=str(trained))


def continued_loss(output: Path) -> float | None:
    """Return the hard-label cross-entropy of a continued student; None while it is not finished."""
    return validation_mean(output, "cross_entropy") if is_finished(output) else None
