"""Judging the models of a comparison: the same tasks, settings and seeds for teacher, students and random weights.

A student's learning rate of fine-tuning is searched with the first seed of its distillation, and taken over by the others.
"""

from pathlib import Path

from ...cache import Cache
from ...evaluation.evaluate import evaluate
from ...evaluation.records import RESULTS, Document, read_record
from ...evaluation.report import write_results
from ...evaluation.tasks import find_task
from ...progress import Say
from ...student_train.run import is_finished
from ...student_train.setup import fresh_student
from ...student_train.student import save_student
from .places import Places
from .settings import Comparison, Student
from .training import SEARCH_SEED, Training

UNTRAINED_CARD = "Random weights in the shape of a student: what an evaluation gives without any pre-training.\n"


class Judging:
    """Judges what is missing."""

    def __init__(self, comparison: Comparison, places: Places, training: Training, say: Say) -> None:
        self._comparison, self._places, self._training, self._say = comparison, places, training, say

    def judge_teacher(self) -> None:
        """The teacher itself."""
        self._judge(self._comparison.teacher, self._places.teacher_judged)

    def judge_untrained(self, size: str) -> None:
        """Random weights of a size."""
        self._judge(str(self._places.untrained(size)), self._places.judged(self._places.untrained(size)))

    def judge(self, student: Student, seed: int) -> None:
        """A trained student."""
        model, first = (self._training.output(student, number) for number in (seed, SEARCH_SEED))
        searched = None if seed == SEARCH_SEED else self._places.judged(first)
        self._judge(str(model), self._places.judged(model), searched)

    def _judge(self, model: str, output: Path, first: Path | None = None) -> None:
        """All tasks, at the rates that were chosen in `first`."""
        chosen = fine_tuned_tasks(first) if first else {}
        tasks = [t for t in self._comparison.tasks if missing_fine_tunings(self._comparison, t, output, first is None)]
        if tasks:
            self._say(f"judging {output.name}")
        for task in tasks:
            rate = chosen[find_task(task).name]["learning_rate"] if first else None
            evaluate(self._comparison.evaluate(task, model, output, rate), self._say)
        write_results(output)  # lest a kill between a task's last seed and the results leave those without it


def missing_fine_tunings(comparison: Comparison, task: str, output: Path | None, search: bool) -> int:
    """How many fine-tunings of a model on a task have left no record in `output`, all where that is None; `search` says whether
    learning rates are tried first."""
    config = comparison.evaluate(task, "model", output or Path())
    wanted = [f"seed-{seed}.json" for seed in range(config.seeds)]
    rates = config.rates(find_task(task))
    if search and len(rates) > 1:
        wanted += [f"learning-rate-{rate:g}.json" for rate in rates]
    return sum(output is None or not (output / find_task(task).name / name).exists() for name in wanted)


def fine_tuned_tasks(output: Path) -> dict[str, Document]:
    """What an evaluation's results say of its tasks, by the names of their folders."""
    found = read_record(output / RESULTS)
    return dict(found["tasks"]) if found else {}


def write_untrained(cache: Cache, size: str, output: Path) -> None:
    """A folder with a student of random weights, as training would begin with by seed 0; kept where it is there."""
    if is_finished(output):
        return
    model = fresh_student(cache.plan.document["teacher"], size, seed=0)
    output.mkdir(parents=True, exist_ok=True)
    save_student(model, output, cache.tokenizer_files(), UNTRAINED_CARD)
