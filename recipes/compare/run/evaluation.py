"""Judging the models of a comparison: the same tasks, settings and seeds for teacher, students and random weights.

A student's learning rate of fine-tuning is searched with the first seed of its distillation, and taken over by the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ....cache import Cache, open_cache
from ....errors import TrainingError
from ....evaluation.config import EvaluateConfig
from ....evaluation.evaluate import evaluate
from ....evaluation.records import RESULTS, EvaluationResults, TaskSummary, read_as, write_record
from ....evaluation.report import write_results
from ....evaluation.tasks.known import find_task
from ....models.save import save_student
from ....models.start import start_student
from ....runtime.claims import Claims
from ....runtime.progress import Say
from ....student_train.run.directory import is_finished
from ....student_train.run.setup import start_request
from ..file.paths import Places
from ..file.settings import MAIN, Comparison, Student
from .sharing import share
from .training import SEARCH_SEED, Training

FAILED = "failed.json"
"""In a task's folder: why the model is left out of that task."""
UNTRAINED_CARD = "Random weights in the shape of a student: what an evaluation gives without any pre-training.\n"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to judge."""

    model: str
    """Folder or hub name."""
    output: Path
    first: Path | None = None
    """The evaluation whose learning rates are taken; they are searched where it is None."""


class Judging:
    """Judges what is missing."""

    def __init__(self, comparison: Comparison, places: Places, training: Training, claims: Claims, say: Say) -> None:
        self._comparison, self._places, self._training = comparison, places, training
        self._claims, self._say = claims, say

    def teacher(self) -> Candidate:
        """The teacher itself."""
        return Candidate(self._comparison.teacher, self._places.teacher_judged)

    def untrained(self, size: str) -> Candidate:
        """Random weights of a size, which are written where they are missing."""
        model = self._places.untrained(size)
        write_untrained(open_cache(self._places.cache(MAIN)), size, model)
        return Candidate(str(model), self._places.judged(model))

    def student(self, student: Student, seed: int) -> Candidate:
        """A trained student."""
        model, first = (self._training.output(student, number) for number in (seed, SEARCH_SEED))
        searched = None if seed == SEARCH_SEED else self._places.judged(first)
        return Candidate(str(model), self._places.judged(model), searched)

    def judge(self, candidates: Sequence[Candidate]) -> None:
        """All of them on all tasks. A model is left out of a task on which the loss of one of its fine-tunings is not finite,
        with a line and a file that say so."""
        batches = [[candidate] for candidate in candidates]
        share(
            self._claims,
            batches,
            lambda one: f"judged-{one.output.name}",
            self._is_judged,
            lambda found: self._judge(*found),
        )

    def _is_judged(self, candidate: Candidate) -> bool:
        """Whether every record is there and all seeds are in the results, lest a kill between the two leaves a hole."""
        return not any(
            self._missing(candidate, task) or self._unsummed(candidate, task) for task in self._comparison.tasks
        )

    def _missing(self, candidate: Candidate, task: str) -> int:
        return missing_fine_tunings(self._comparison, task, candidate.output, candidate.first is None)

    def _unsummed(self, candidate: Candidate, task: str) -> bool:
        if has_failed(self._comparison, candidate.output, task):
            return False
        found = fine_tuned_tasks(candidate.output).get(find_task(task).name)
        wanted = range(self._comparison.tasks[task].seeds)
        return not set(wanted) <= set(found.seeds if found else ())

    def _judge(self, candidate: Candidate) -> None:
        self._say(f"judging {candidate.output.name}")
        for task in self._comparison.tasks:
            if self._missing(candidate, task):
                self._judge_on(candidate, task)
        write_results(candidate.output)

    def _judge_on(self, candidate: Candidate, task: str) -> None:
        try:
            evaluate(self._config(candidate, task), self._say)
        except TrainingError as error:
            self._say(f"{candidate.output.name} is left out of {task}: {error}")
            write_results(candidate.output)  # first, so that what is there has its rate in the results
            record = {"error": str(error), "again": "remove this folder, and all of it is tried again"}
            write_record(candidate.output / find_task(task).name / FAILED, record)

    def _config(self, candidate: Candidate, task: str) -> EvaluateConfig:
        """With the rate that the first seed of distillation chose, where several were tried by it.

        Raises TrainingError where none of them was finite.
        """
        config = self._comparison.evaluate(task, candidate.model, candidate.output)
        if candidate.first is None or len(config.rates(find_task(task))) == 1:
            return config
        chosen = fine_tuned_tasks(candidate.first).get(find_task(task).name)
        if chosen is None:
            raise TrainingError("no learning rate gave the first seed of its distillation a finite loss")
        return replace(config, learning_rates=(chosen.learning_rate,))


def has_failed(comparison: Comparison, output: Path, task: str) -> bool:
    """Whether the model of this evaluation is left out of a task: a fine-tuning failed, and not all that are wanted are there."""
    folder, seeds = output / find_task(task).name, comparison.tasks[task].seeds
    return (folder / FAILED).exists() and not all((folder / f"seed-{seed}.json").exists() for seed in range(seeds))


def missing_fine_tunings(comparison: Comparison, task: str, output: Path | None, search: bool) -> int:
    """How many fine-tunings of a model on a task have left no record in `output`, all where that is None, none where one failed;
    `search` says whether learning rates are tried first."""
    if output and has_failed(comparison, output, task):
        return 0
    settings = comparison.tasks[task]
    wanted = [f"seed-{seed}.json" for seed in range(settings.seeds)]
    rates = settings.rates(find_task(task))
    if search and len(rates) > 1:
        wanted += [f"learning-rate-{rate:g}.json" for rate in rates]
    return sum(output is None or not (output / find_task(task).name / name).exists() for name in wanted)


def fine_tuned_tasks(output: Path) -> Mapping[str, TaskSummary]:
    """Return what an evaluation's results say of its tasks, by the names of their folders."""
    found = read_as(output / RESULTS, EvaluationResults)
    return found.tasks if found else {}


def write_untrained(cache: Cache, size: str, output: Path) -> None:
    """A folder with a student of random weights, as training would begin with by seed 0; kept where it is there."""
    if is_finished(output):
        return
    model = start_student(None, start_request(cache, size, seed=0))
    output.mkdir(parents=True, exist_ok=True)
    save_student(model, output, cache.tokenizer_files(), UNTRAINED_CARD)
