"""Train the students of a comparison: with the first seed at every learning rate, with the other seeds at the best rate.

Students with the same cache, rate and seed train in one pass over the cache. A finished student is not touched.
"""

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from ....errors import NotFiniteError, TrainingError
from ....runtime.claims import Claims
from ....runtime.durable import write_durably
from ....runtime.options import marked
from ....runtime.progress import Log
from ....student_train.config import ONE_PASS, TrainConfig
from ....student_train.run.directory import is_finished
from ....student_train.run.metrics import validation_mean
from ....student_train.train import train_students
from ..file.paths import Paths, failure
from ..file.settings import Comparison, Student
from .sharing import share

SEARCH_SEED = 0
"""The distillation seed that tries the learning rates."""
Run = tuple[Student, float, int]
"""A student, a learning rate and a seed."""


def train_finite(configs: Sequence[TrainConfig], log: Log) -> None:
    """Train students together. If one fails, each goes on by itself, so that the others finish.

    A student whose loss is not finite leaves a file that says so.
    """
    try:
        train_students(configs, log, grow=False)
    except TrainingError:
        for config in configs:
            _train_alone(config, log)


def _train_alone(config: TrainConfig, log: Log) -> None:
    try:
        train_students([config], log, grow=False)
    except NotFiniteError as error:
        write_durably(failure(config.output), f"{error}\n".encode())


def is_settled(output: Path) -> bool:
    """Whether a student is finished, or a file says why it could not be trained."""
    return is_finished(output) or failure(output).exists()


class Training:
    """Train the students that are missing, and find the finished ones."""

    def __init__(self, comparison: Comparison, paths: Paths, claims: Claims, log: Log) -> None:
        self._comparison, self._paths, self._claims, self._log = comparison, paths, claims, log

    def train(self, students: Sequence[Student], seed: int) -> None:
        """Train all `students` with one seed.

        Raises TrainingError if the first seed's loss is finite at no learning rate. With a later seed the student is left out,
        and the others go on.
        """
        runs = sorted((run for student in students for run in self.runs(student, seed)), key=self._pass)
        passes = [list(passed) for _, passed in groupby(runs, key=self._pass)]
        share(self._claims, passes, lambda run: self._paths.student(*run).name, self._is_done, self._train_pass)
        for student in students:
            if self.is_lost(student, seed):
                self._log(
                    f"{student.label}, seed {seed} is left out: its loss is not finite at {self.rate(student):g}, the best rate "
                    "of the first seed"
                )
            else:
                self.output(student, seed)

    def runs(self, student: Student, seed: int) -> list[Run]:
        """Return a student's runs with one seed: at every rate for the search seed, else at the best rate if it is known."""
        best = None if seed == SEARCH_SEED else self.rate(student)
        return [(student, rate, seed) for rate in (student.learning_rates if best is None else [best])]

    def missing(self, student: Student, seed: int) -> int:
        """Return how many runs of a student with one seed are missing."""
        left = sum(not self._is_done(run) for run in self.runs(student, seed))
        return left if seed == SEARCH_SEED else min(1, left)

    def rate(self, student: Student) -> float | None:
        """Return the learning rate with the lowest validation loss of the student's own objective, the smallest of equals.

        None before all rates are tried, or if the loss is finite at none.
        """
        rates = sorted(student.learning_rates)
        if len(rates) == 1:
            return rates[0]
        losses = {rate: self._loss((student, rate, SEARCH_SEED)) for rate in rates}
        known = {rate: loss for rate, loss in losses.items() if loss is not None}
        if len(known) < len(rates) or min(known.values()) == math.inf:
            return None
        return min(known, key=lambda rate: known[rate])

    def losses(self, student: Student) -> dict[float, float | None]:
        """Return the validation loss by learning rate: infinity if it was not finite, None if it is not known yet."""
        return {rate: self._loss((student, rate, SEARCH_SEED)) for rate in student.learning_rates}

    def output(self, student: Student, seed: int) -> Path:
        """Return the folder of a trained student. Raises TrainingError if it could not be trained."""
        rate = self.rate(student)
        if rate is None or not is_finished(self._paths.student(student, rate, seed)):
            rates = ", ".join(f"{run[1]:g}" for run in self.runs(student, seed))
            raise TrainingError(
                f"{student.label}, seed {seed}: the loss is finite at none of {rates}; try lower learning_rates"
            )
        return self._paths.student(student, rate, seed)

    def is_lost(self, student: Student, seed: int) -> bool:
        """Whether the loss of a later seed was not finite at the rate that the first seed chose."""
        rate = self.rate(student)
        return seed != SEARCH_SEED and rate is not None and failure(self._paths.student(student, rate, seed)).exists()

    def _is_done(self, run: Run) -> bool:
        return is_settled(self._paths.student(*run))

    def _loss(self, run: Run) -> float | None:
        output = self._paths.student(*run)
        if failure(output).exists():
            return math.inf
        if not is_finished(output):
            return None
        loss = validation_mean(output, "loss")  # None in the file where it was not finite
        return math.inf if loss is None else loss

    def _train_pass(self, runs: Sequence[Run]) -> None:
        (_, rate, seed), students = runs[0], [student for student, _, _ in runs]
        labels = ", ".join(student.label for student in students)
        self._log(f"{self._rows(students)}: training {labels} at learning rate {rate:g}, seed {seed}")
        train_finite([self._config(run) for run in runs], self._log)

    def _rows(self, students: Sequence[Student]) -> str:
        """Return the numbers of students as rows of the comparison: `row 3 of 12`."""
        everyone = list(self._comparison.students)
        numbers = [everyone.index(student) + 1 for student in students if student in everyone]
        if len(numbers) < len(students):
            return "assistant"
        return f"row{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))} of {len(everyone)}"

    def _config(self, run: Run) -> TrainConfig:
        student, rate, seed = run
        return self._comparison.train(student, self._paths.cache(student.cache), self._paths.student(*run), rate, seed)

    def _pass(self, run: Run) -> tuple[str, float, str]:
        """Return what students of one pass share: the cache, the rate (so that passes stay short) and what a pass requires."""
        config = self._config(run)
        return run[0].cache, run[1], repr([getattr(config, name) for name in marked(TrainConfig, ONE_PASS)])
