"""What came out so far, gathered from the directories of students and evaluations; the one source of report and pictures."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

from ....evaluation.records import RESULTS, Document, EvaluationResults, ModelFacts, plain, read_as
from ....evaluation.tasks.glue import glue_score
from ....evaluation.tasks.known import find_task
from ....student_train.run.directory import is_finished
from ....student_train.run.metrics import last_held_out
from ..file.paths import Places
from ..file.settings import Comparison, Student
from ..run.continuation import continued_loss
from ..run.evaluation import has_failed
from ..run.hard_labels import measured_hard_labels
from ..run.training import SEARCH_SEED, Training
from .differences import Difference, paired_difference

SCORE = "score"
"""The plain mean over the results of all tasks, each by its first metric; not before a model is judged on all of them."""
GLUE = "GLUE score"
"""The mean of the paper's eight numbers."""
CONTINUED = "held-out, continued"
"""The same after further steps on hard labels, of all students."""
HELD_OUT = "held-out"
"""Hard-label cross-entropy in nats on the cache's validation examples, where the head is trained."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A model's results: column -> mean over the seeds of fine-tuning; and its facts."""

    name: str
    values: Mapping[str, float]
    spreads: Mapping[str, float | None]
    """Column -> standard deviation over the seeds of fine-tuning."""
    facts: ModelFacts | None
    rates: Mapping[str, float]
    """Task -> learning rate of fine-tuning."""
    failed: tuple[str, ...]
    """Tasks on which the loss of a fine-tuning was not finite; they have no values."""
    held_out: float | None
    """Hard-label cross-entropy as it is, of the teacher and of random weights."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A student's results by seed of distillation, as far as they are there."""

    student: Student
    rate: float | None
    losses: Mapping[float, float | None]
    """Held-out loss of the student's own objective by learning rate."""
    tried: Mapping[float, Path]
    """Learning rate -> the run of the search at it, where the loss stayed finite."""
    outputs: Mapping[int, Path]
    """Seed -> the run at the rate that was taken."""
    judged: Mapping[int, Judged]
    held_out: Mapping[int, Mapping[str, float]]
    continued: Mapping[int, float]
    """Seed -> hard-label cross-entropy after further steps on hard labels."""
    lost: tuple[int, ...]
    """Seeds whose loss was not finite at the rate that was best with the first."""

    @property
    def at_edge(self) -> bool:
        """Whether the smallest or the largest of three or more learning rates was the best."""
        return len(self.losses) > 2 and self.rate in (min(self.losses), max(self.losses))

    def value(self, column: str, seed: int) -> float | None:
        """One number."""
        if column == HELD_OUT:
            return self.held_out.get(seed, {}).get("cross_entropy")
        if column == CONTINUED:
            return self.continued.get(seed)
        return self.judged[seed].values.get(column) if seed in self.judged else None

    def column(self, column: str) -> dict[int, float]:
        """Values by seed, of those that are there."""
        found = {seed: self.value(column, seed) for seed in self.outputs}
        return {seed: value for seed, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that a report shows."""

    columns: tuple[str, ...]
    """`RESULT METRIC` of every task, as `sst2 accuracy`; then the GLUE score, where its eight numbers are among them."""
    teacher: Judged | None
    untrained: Mapping[str, Judged]
    students: tuple[Outcome, ...]
    assistants: tuple[Outcome, ...]

    def first_judged(self) -> list[Judged]:
        """Teacher, untrained weights, and every student with its first seed."""
        firsts = [next(iter(one.judged.values()), None) for one in (*self.assistants, *self.students)]
        return [one for one in (self.teacher, *self.untrained.values(), *firsts) if one]

    def all_judged(self) -> list[Judged]:
        """Every model."""
        trained = [judged for one in (*self.assistants, *self.students) for judged in one.judged.values()]
        return [one for one in (self.teacher, *self.untrained.values(), *trained) if one]

    def outcome(self, size: str, name: str) -> Outcome:
        """That of a row in one size."""
        return next(o for o in self.students if (o.student.size, o.student.name) == (size, name))

    def difference(self, size: str, pair: tuple[str, str], column: str) -> Difference | None:
        """Of two rows in a column, over the seeds that both have; None without any."""
        a, b = (self.outcome(size, name).column(column) for name in pair)
        seeds = [seed for seed in a if seed in b]
        return paired_difference([a[s] for s in seeds], [b[s] for s in seeds]) if seeds else None


def gather(comparison: Comparison, places: Places, training: Training) -> Results:
    """Read what is there."""

    def judged(name: str, output: Path) -> Judged | None:
        return _judged(name, output, comparison)

    def outcome(student: Student, seeds: int) -> Outcome:
        rate = training.rate(student)
        paths = {seed: places.student(student, rate, seed) for seed in range(seeds)} if rate is not None else {}
        outputs = {seed: path for seed, path in paths.items() if is_finished(path)}
        searched = {rate: places.student(student, rate, SEARCH_SEED) for rate in student.learning_rates}
        tried = {rate: path for rate, path in searched.items() if is_finished(path)}
        found = {seed: judged(f"{student.label}, seed {seed}", places.judged(path)) for seed, path in outputs.items()}
        held_out = {seed: last_held_out(path) for seed, path in outputs.items()}
        there = {seed: one for seed, one in found.items() if one}
        further = {seed: continued_loss(places.continued(path)) for seed, path in outputs.items()}
        continued = {seed: loss for seed, loss in further.items() if loss is not None}
        lost = tuple(seed for seed in range(seeds) if training.is_lost(student, seed))
        return Outcome(student, rate, training.losses(student), tried, outputs, there, held_out, continued, lost)

    teacher = judged("teacher", places.teacher_judged)
    untrained = {size: judged(f"{size} untrained", places.judged(places.untrained(size))) for size in comparison.sizes}
    students = tuple(outcome(student, comparison.seeds) for student in comparison.students)
    assistants = tuple(outcome(student, 1) for student in comparison.assistants.values())
    there = {size: one for size, one in untrained.items() if one}
    results = Results((), teacher, there, students, assistants)
    columns = dict.fromkeys(column for one in results.all_judged() for column in one.values if column != SCORE)
    return replace(results, columns=tuple(columns))


def _judged(name: str, output: Path, comparison: Comparison) -> Judged | None:
    """The results of an evaluation on the tasks of the file; it may hold others, which were taken out of it."""
    found = read_as(output / RESULTS, EvaluationResults)
    if not found:
        return None
    failed = tuple(task for task in comparison.tasks if has_failed(comparison, output, task))
    tasks = [find_task(task) for task in comparison.tasks if task not in failed]
    wanted = [result for task in tasks for result in task.development]
    there = {result: found.results[result] for result in wanted if result in found.results}
    if not there and not failed:
        return None
    first = {result: next(iter(metrics)) for result, metrics in there.items()}
    firsts = {f"{result} {metric}": there[result][metric] for result, metric in first.items()}
    values = {column: spread.mean for column, spread in firsts.items()}
    spreads = {column: spread.std for column, spread in firsts.items()}
    glue = glue_score(there)
    values |= {SCORE: fmean(values.values())} if not failed and len(there) == len(wanted) else {}
    values |= {GLUE: glue} if glue is not None else {}
    rates = {t.name: found.tasks[t.name].learning_rate for t in tasks if t.name in found.tasks}
    return Judged(name, values, spreads, found.facts, rates, failed, measured_hard_labels(output))


def mean_and_spread(values: Mapping[int, float]) -> tuple[float, float | None] | None:
    """Mean and sample standard deviation (None of one) over seeds; None without any."""
    if not values:
        return None
    return fmean(values.values()), stdev(values.values()) if len(values) > 1 else None


def as_document(results: Results, comparison: Comparison, pace: Document) -> Document:
    """All numbers as one JSON object."""
    return {
        "columns": list(results.columns),
        "teacher": _judged_document(results.teacher),
        "untrained": {size: _judged_document(one) for size, one in results.untrained.items()},
        "students": [_outcome_document(outcome) for outcome in results.students],
        "assistants": [_outcome_document(outcome) for outcome in results.assistants],
        "differences": _difference_documents(results, comparison),
        "pace": pace,
    }


def _judged_document(judged: Judged | None) -> Document | None:
    if judged is None:
        return None
    found = {
        "results": dict(judged.values),
        "std": dict(judged.spreads),
        "facts": plain(judged.facts) if judged.facts else None,
    }
    return found | {"failed": list(judged.failed), "cross_entropy": judged.held_out}


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
                "held_out": dict(outcome.held_out[seed]),
                "continued": outcome.continued.get(seed),
                "judged": _judged_document(outcome.judged.get(seed)),
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
            for column in (SCORE, HELD_OUT, CONTINUED, *results.columns):
                found = results.difference(size, pair, column)
                if found:
                    documents.append(
                        {"size": size, "rows": list(pair), "column": column, "mean": found.mean, "margin": found.margin}
                        | {"seeds": found.seeds, "shown": found.is_shown}
                    )
    return documents
