"""Gather the results so far from the directories of students and evaluations, for the report and the pictures."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

from ....evaluation.records import RESULTS, Document, EvaluationResults, ModelFacts, plain, read_as
from ....evaluation.scores.differences import Difference, paired_difference
from ....evaluation.tasks.glue import glue_score
from ....evaluation.tasks.known import find_task
from ....student_train.run.directory import is_finished
from ....student_train.run.metrics import last_validation
from ..file.paths import Paths
from ..file.settings import Comparison, Student
from ..run.continuation import continued_loss
from ..run.evaluation import has_failed
from ..run.hard_labels import measured_hard_labels
from ..run.training import SEARCH_SEED, Training

SCORE = "score"
"""The plain mean over the results of all tasks, each by its first metric. A model has it once it is evaluated on all tasks."""
GLUE = "GLUE score"
"""The mean of the paper's eight numbers."""
VALIDATION = "validation"
"""The hard-label cross-entropy in nats on the cache's validation examples, if the head is trained."""
CONTINUED = "validation, continued"
"""The same after further steps on hard labels, for all students."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The results and facts of one evaluated model."""

    name: str
    values: Mapping[str, float]
    """The mean over the seeds of fine-tuning, by column."""
    spreads: Mapping[str, float | None]
    """The standard deviation over the seeds of fine-tuning, by column."""
    facts: ModelFacts | None
    rates: Mapping[str, float]
    """The learning rate of fine-tuning, by task."""
    failed: tuple[str, ...]
    """The tasks without values, because the loss of a fine-tuning was not finite."""
    validation: float | None
    """The hard-label cross-entropy without further training, for the teacher and random weights."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of a student so far, by seed of distillation."""

    student: Student
    rate: float | None
    """The best learning rate; None while it is not known."""
    losses: Mapping[float, float | None]
    """The validation loss of the student's own objective, by learning rate."""
    tried: Mapping[float, Path]
    """The runs of the search whose loss stayed finite, by learning rate."""
    outputs: Mapping[int, Path]
    """The runs at the best rate, by seed."""
    evaluated: Mapping[int, Evaluated]
    validation: Mapping[int, Mapping[str, float]]
    continued: Mapping[int, float]
    """The hard-label cross-entropy after further steps on hard labels, by seed."""
    lost: tuple[int, ...]
    """The seeds whose loss was not finite at the best rate of the first seed."""

    @property
    def at_edge(self) -> bool:
        """Whether the best of three or more learning rates was the smallest or the largest."""
        return len(self.losses) > 2 and self.rate in (min(self.losses), max(self.losses))

    def value(self, column: str, seed: int) -> float | None:
        """Return the number in a column for a seed; None while it is missing."""
        if column == VALIDATION:
            return self.validation.get(seed, {}).get("cross_entropy")
        if column == CONTINUED:
            return self.continued.get(seed)
        return self.evaluated[seed].values.get(column) if seed in self.evaluated else None

    def column(self, column: str) -> dict[int, float]:
        """Return the numbers of a column so far, by seed."""
        numbers = {seed: self.value(column, seed) for seed in self.outputs}
        return {seed: value for seed, value in numbers.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that a report shows."""

    columns: tuple[str, ...]
    """`RESULT METRIC` for every task, such as `sst2 accuracy`; then the GLUE score, if all of its eight numbers are there."""
    teacher: Evaluated | None
    untrained: Mapping[str, Evaluated]
    students: tuple[Outcome, ...]
    assistants: tuple[Outcome, ...]

    @property
    def results_of_score(self) -> list[str]:
        """The columns that the score is the plain mean of."""
        return [column for column in self.columns if column != GLUE]

    def first_evaluated(self) -> list[Evaluated]:
        """Return the teacher, untrained weights, and every student's first seed."""
        firsts = [next(iter(one.evaluated.values()), None) for one in (*self.assistants, *self.students)]
        return [one for one in (self.teacher, *self.untrained.values(), *firsts) if one]

    def all_evaluated(self) -> list[Evaluated]:
        """Return every evaluated model."""
        trained = [evaluated for one in (*self.assistants, *self.students) for evaluated in one.evaluated.values()]
        return [one for one in (self.teacher, *self.untrained.values(), *trained) if one]

    def outcome(self, size: str, name: str) -> Outcome:
        """Return the results of a row in one size."""
        return next(o for o in self.students if (o.student.size, o.student.name) == (size, name))

    def difference(self, size: str, pair: tuple[str, str], column: str) -> Difference | None:
        """Return the difference of two rows in a column over the seeds that both have; None without such seeds."""
        a, b = (self.outcome(size, name).column(column) for name in pair)
        seeds = [seed for seed in a if seed in b]
        return paired_difference([a[s] for s in seeds], [b[s] for s in seeds]) if seeds else None


def gather(comparison: Comparison, paths: Paths, training: Training) -> Results:
    """Return the results that are on disk so far."""

    def evaluated(name: str, output: Path) -> Evaluated | None:
        return _evaluated(name, output, comparison)

    def outcome(student: Student, seeds: int) -> Outcome:
        rate = training.rate(student)
        runs = {seed: paths.student(student, rate, seed) for seed in range(seeds)} if rate is not None else {}
        outputs = {seed: path for seed, path in runs.items() if is_finished(path)}
        searched = {rate: paths.student(student, rate, SEARCH_SEED) for rate in student.learning_rates}
        tried = {rate: path for rate, path in searched.items() if is_finished(path)}
        evaluations = {
            seed: evaluated(f"{student.label}, seed {seed}", paths.evaluation(path)) for seed, path in outputs.items()
        }
        validation = {seed: last_validation(path) for seed, path in outputs.items()}
        there = {seed: one for seed, one in evaluations.items() if one}
        further = {seed: continued_loss(paths.continued(path)) for seed, path in outputs.items()}
        continued = {seed: loss for seed, loss in further.items() if loss is not None}
        lost = tuple(seed for seed in range(seeds) if training.is_lost(student, seed))
        return Outcome(student, rate, training.losses(student), tried, outputs, there, validation, continued, lost)

    teacher = evaluated("teacher", paths.teacher_evaluation)
    untrained = {
        size: evaluated(f"{size} untrained", paths.evaluation(paths.untrained(size))) for size in comparison.sizes
    }
    students = tuple(outcome(student, comparison.seeds) for student in comparison.students)
    assistants = tuple(outcome(student, 1) for student in comparison.assistants.values())
    there = {size: one for size, one in untrained.items() if one}
    results = Results((), teacher, there, students, assistants)
    columns = dict.fromkeys(column for one in results.all_evaluated() for column in one.values if column != SCORE)
    return replace(results, columns=tuple(columns))


def _evaluated(name: str, output: Path, comparison: Comparison) -> Evaluated | None:
    """Return an evaluation's results on the tasks of the file. The evaluation may hold tasks that the file no longer names."""
    document = read_as(output / RESULTS, EvaluationResults)
    if not document:
        return None
    failed = tuple(task for task in comparison.tasks if has_failed(comparison, output, task))
    tasks = [find_task(task) for task in comparison.tasks if task not in failed]
    wanted = [result for task in tasks for result in task.development]
    there = {result: document.results[result] for result in wanted if document.results.get(result)}
    if not there and not failed:
        return None
    first = {result: next(iter(metrics)) for result, metrics in there.items()}
    firsts = {f"{result} {metric}": there[result][metric] for result, metric in first.items()}
    values = {column: spread.mean for column, spread in firsts.items()}
    spreads = {column: spread.std for column, spread in firsts.items()}
    glue = glue_score(there)
    values |= {SCORE: fmean(values.values())} if not failed and len(there) == len(wanted) else {}
    values |= {GLUE: glue} if glue is not None else {}
    known = {task.name: document.tasks[task.name].learning_rate for task in tasks if task.name in document.tasks}
    rates = {name: rate for name, rate in known.items() if rate is not None}
    return Evaluated(name, values, spreads, document.facts, rates, failed, measured_hard_labels(output))


def mean_and_spread(values: Mapping[int, float]) -> tuple[float, float | None] | None:
    """Return mean and sample standard deviation over seeds (None for one seed); None without seeds."""
    if not values:
        return None
    return fmean(values.values()), stdev(values.values()) if len(values) > 1 else None


def as_document(results: Results, comparison: Comparison, timings: Document, decision: Document) -> Document:
    """Return all numbers and the decision as one JSON object."""
    return {
        "decision": decision,
        "columns": list(results.columns),
        "teacher": _evaluated_document(results.teacher),
        "untrained": {size: _evaluated_document(one) for size, one in results.untrained.items()},
        "students": [_outcome_document(outcome) for outcome in results.students],
        "assistants": [_outcome_document(outcome) for outcome in results.assistants],
        "differences": _difference_documents(results, comparison),
        "pace": timings,
    }


def _evaluated_document(evaluated: Evaluated | None) -> Document | None:
    if evaluated is None:
        return None
    document = {
        "results": dict(evaluated.values),
        "std": dict(evaluated.spreads),
        "facts": plain(evaluated.facts) if evaluated.facts else None,
    }
    return document | {"failed": list(evaluated.failed), "cross_entropy": evaluated.validation}


def _outcome_document(outcome: Outcome) -> Document:
    return {
        "name": outcome.student.name,
        "size": outcome.student.size,
        "cache": outcome.student.cache,
        "learning_rate": outcome.rate,
        "lost_seeds": list(outcome.lost),
        "losses": {f"{rate:g}": _finite(loss) for rate, loss in outcome.losses.items()},
        "seeds": {
            str(seed): {
                "output": path.name,
                "validation": dict(outcome.validation[seed]),
                "continued": outcome.continued.get(seed),
                "evaluated": _evaluated_document(outcome.evaluated.get(seed)),
            }
            for seed, path in outcome.outputs.items()
        },
    }


def _finite(loss: float | None) -> float | str | None:
    return "not finite" if loss == float("inf") else loss


def _difference_documents(results: Results, comparison: Comparison) -> list[Document]:
    documents = []
    for size in comparison.sizes:
        for pair in comparison.pairs:
            for column in (SCORE, VALIDATION, CONTINUED, *results.columns):
                difference = results.difference(size, pair, column)
                if difference:
                    documents.append(
                        {
                            "size": size,
                            "rows": list(pair),
                            "column": column,
                            "mean": difference.mean,
                            "margin": difference.margin,
                        }
                        | {"seeds": difference.seeds, "shown": difference.is_shown}
                    )
    return documents
