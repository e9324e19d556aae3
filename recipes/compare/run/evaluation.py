"""Evaluate the models of a comparison: the same tasks, settings and seeds for teacher, students and random weights.

The first seed of a student's distillation chooses the learning rate of fine-tuning; the other seeds use it too.
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
from ....models.start.fresh import build_student
from ....runtime.claims import Claims
from ....runtime.progress import Log, progress_bar
from ....student_train.run.directory import is_finished
from ....student_train.run.setup import start_request
from ..file.paths import Paths
from ..file.settings import MAIN, Comparison, Options, Student
from .sharing import share
from .training import SEARCH_SEED, Training

FAILED = "failed.json"
"""The file in a task's folder that says why the model is left out of that task."""
UNTRAINED_CARD = "Random weights in the shape of a student: what an evaluation gives without any pre-training.\n"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to evaluate."""

    model: str
    """A folder or hub name."""
    output: Path
    first: Path | None = None
    """The evaluation whose learning rates this one uses; None to search for them."""


class Evaluator:
    """Evaluate the models that are not evaluated yet."""

    def __init__(self, comparison: Comparison, paths: Paths, training: Training, claims: Claims, log: Log) -> None:
        self._comparison, self._paths, self._training = comparison, paths, training
        self._claims, self._log = claims, log

    def teacher(self) -> Candidate:
        """Return the teacher."""
        return Candidate(self._comparison.teacher, self._paths.teacher_evaluation)

    def untrained(self, size: str) -> Candidate:
        """Return random weights of a size; write them if they are missing."""
        model = self._paths.untrained(size)
        write_untrained(open_cache(self._paths.cache(MAIN)), self._comparison.shape(size), model)
        return Candidate(str(model), self._paths.evaluation(model))

    def student(self, student: Student, seed: int) -> Candidate:
        """Return a trained student."""
        model, first = (self._training.output(student, number) for number in (seed, SEARCH_SEED))
        searched = None if seed == SEARCH_SEED else self._paths.evaluation(first)
        return Candidate(str(model), self._paths.evaluation(model), searched)

    def evaluate(self, candidates: Sequence[Candidate]) -> None:
        """Evaluate all of them on all tasks.

        If the loss of a fine-tuning is not finite, leave the model out of that task, and say so in a line and in a file.
        """
        batches = [[candidate] for candidate in candidates]
        missing = sum(not self._is_evaluated(candidate) for candidate in candidates)
        places = {one.output: f"{number} of {len(candidates)}" for number, one in enumerate(candidates, start=1)}
        with progress_bar("evaluation", missing, "model", shown=missing > 0) as bar:

            def make(batch: list[Candidate]) -> None:
                self._evaluate(batch[0], places[batch[0].output])
                bar.update(1)

            share(self._claims, batches, lambda one: f"evaluated-{one.output.name}", self._is_evaluated, make)

    def _is_evaluated(self, candidate: Candidate) -> bool:
        """Whether every record exists and the results hold all seeds. A killed process may have left records without results."""
        return not any(
            self._missing(candidate, task) or self._unsummed(candidate, task) for task in self._comparison.tasks
        )

    def _missing(self, candidate: Candidate, task: str) -> int:
        return missing_fine_tunings(self._comparison, task, candidate.output, candidate.first is None)

    def _unsummed(self, candidate: Candidate, task: str) -> bool:
        if has_failed(self._comparison, candidate.output, task):
            return False
        summary = fine_tuned_tasks(candidate.output).get(find_task(task).name)
        wanted = range(self._comparison.tasks[task].seeds)
        return not set(wanted) <= set(summary.seeds if summary else ())

    def _evaluate(self, candidate: Candidate, place: str) -> None:
        self._log(f"evaluating {candidate.output.name} ({place})")
        for task in self._comparison.tasks:
            if self._missing(candidate, task):
                self._evaluate_on(candidate, task)
        write_results(candidate.output)

    def _evaluate_on(self, candidate: Candidate, task: str) -> None:
        try:
            evaluate(self._config(candidate, task), self._log, nested=True)
        except TrainingError as error:
            self._log(f"{candidate.output.name} is left out of {task}: {error}")
            write_results(candidate.output)  # before the file, so that the results hold the rate of what is finished
            record = {"error": str(error), "again": "remove this folder to try the task again"}
            write_record(candidate.output / find_task(task).name / FAILED, record)

    def _config(self, candidate: Candidate, task: str) -> EvaluateConfig:
        """Return the configuration, with the rate that the first seed of distillation chose if it tried several.

        Raises TrainingError if the loss was finite at none of them.
        """
        config = self._comparison.evaluate(task, candidate.model, candidate.output)
        if candidate.first is None or len(config.rates(find_task(task))) == 1:
            return config
        chosen = fine_tuned_tasks(candidate.first).get(find_task(task).name)
        if chosen is None or chosen.learning_rate is None:
            raise TrainingError("no learning rate gave the first seed of its distillation a finite loss")
        return replace(config, learning_rates=(chosen.learning_rate,))


def has_failed(comparison: Comparison, output: Path, task: str) -> bool:
    """Whether the model is left out of a task, because a fine-tuning failed and not all seeds have a record."""
    folder, seeds = output / find_task(task).name, comparison.tasks[task].seeds
    return (folder / FAILED).exists() and not all((folder / f"seed-{seed}.json").exists() for seed in range(seeds))


def missing_fine_tunings(comparison: Comparison, task: str, output: Path | None, search: bool) -> int:
    """Return how many fine-tunings of a model on a task do not have a record in `output`; None stands for no records at all.

    A task that failed has none missing. `search` says whether learning rates are tried first.
    """
    if output and has_failed(comparison, output, task):
        return 0
    settings = comparison.tasks[task]
    wanted = [f"seed-{seed}.json" for seed in range(settings.seeds)]
    rates = settings.rates(find_task(task))
    if search and len(rates) > 1:
        wanted += [f"learning-rate-{rate:g}.json" for rate in rates]
    return sum(output is None or not (output / find_task(task).name / name).exists() for name in wanted)


def fine_tuned_tasks(output: Path) -> Mapping[str, TaskSummary]:
    """Return the task summaries of an evaluation, by the names of the tasks' folders."""
    results = read_as(output / RESULTS, EvaluationResults)
    return results.tasks if results else {}


def write_untrained(cache: Cache, shape: Options, output: Path) -> None:
    """Write a student of random weights of a shape, the ones that a fresh row has with seed 0, unless the folder exists."""
    if is_finished(output):
        return
    request = start_request(cache, shape.get("size"), seed=0) | {"keep": shape.get("keep")}
    model = start_student(shape.get("init"), request)
    if "init" in shape:  # a part of a sorted teacher gives only its shape
        model = build_student(model.config.to_dict(), request["tied"], seed=0)
    output.mkdir(parents=True, exist_ok=True)
    save_student(model, output, cache.tokenizer_files(), UNTRAINED_CARD)
