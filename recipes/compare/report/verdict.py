"""Word the decision of a comparison: which student to take and why, or that the seeds do not show a difference."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import stdev

from ....evaluation.records import Document, ModelFacts
from ....evaluation.scores.differences import CONFIDENCE, Difference, interval_text
from ....runtime.report.blocks import Lead
from ..file.settings import Comparison
from .decision import Criterion, Decision, Stage, decide, quantile
from .results import CONTINUED, SCORE, VALIDATION, Outcome, Results

LOSSES = (VALIDATION, CONTINUED)
MOST_SEEDS = 30
"""The largest number of seeds that we advise."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision of a comparison with what its words need."""

    comparison: Comparison
    results: Results
    criteria: tuple[Criterion, ...]
    decision: Decision

    def lead(self) -> Lead:
        """Return the first block of the report."""
        return Lead(self._first(), [one for one in self._reasons() if one])

    def as_json(self) -> Document:
        """Return the decision for comparison.json."""
        decision = self.decision
        return {
            "says": self._first(),
            "taken": decision.taken,
            "left": list(decision.left),
            "missing": dict(decision.missing),
            "criteria": [
                {"criterion": one.criterion, "seeds": one.seeds, "means": dict(one.means), "left": list(one.left)}
                for one in decision.stages
            ],
        }

    def _first(self) -> str:
        decision = self.decision
        if not decision.stages:
            return "Nothing can be decided yet: no student has a result that another one has too."
        if decision.taken:
            return f"Take {decision.taken}, because {self._because(decision.taken)}"
        if len(decision.stages[0].means) == 1:
            return f"Only {decision.left[0]} was compared, so this report does not decide between students."
        if decision.seeds == 1 and self.comparison.seeds > 1:
            return f"One seed decides nothing, and one of {self.comparison.seeds} is finished."
        if decision.seeds == 1:
            return "One seed decides nothing. Give seeds: 3 or more, and start the same command again."
        return f"These seeds do not show a difference between {_listed(decision.left)}."

    def _because(self, taken: str) -> str:
        stage = next(one for one in reversed(self.decision.stages) if one.removed)
        following = stage.removed[0]
        by = _interval(stage.behind[following], stage.criterion, sign=False)
        return (
            f"its {named(stage.criterion)} is {_value(stage.means[taken], stage.criterion)}. The next best, {following}, is "
            f"behind by {by}."
        )

    def _reasons(self) -> Iterator[str | None]:
        decision, done = self.decision, self.decision.seeds
        if decision.stages and done < self.comparison.seeds:
            yield f"This is not the end: {done} of {self.comparison.seeds} seeds are finished."
        yield from self._not_told_apart()
        yield from self._removed()
        yield from self._smaller()
        yield from self._bounds()
        yield from self._caveats()
        if decision.missing:
            names = "; ".join(f"{name} ({reason})" for name, reason in sorted(decision.missing.items()))
            yield f"Not compared: {names}."
        if decision.seeds > 1 and len(decision.stages[0].means) > 1:
            yield self._weighing()

    def _not_told_apart(self) -> Iterator[str]:
        """Say for the criteria that do not decide how close the first two are, and how many seeds could tell them apart."""
        for stage in self.decision.stages:
            if len(stage.left) < 2:
                continue
            best, second = stage.left[:2]
            means = ", ".join(f"{_value(stage.means[one], stage.criterion)} for {one}" for one in (best, second))
            if stage.seeds == 1:
                yield f"The {named(stage.criterion)} of this seed is {means}."
                continue
            yield f"The {named(stage.criterion)} does not tell them apart: {means}. {self._seeds_needed(stage, best, second)}"

    def _seeds_needed(self, stage: Stage, best: str, second: str) -> str:
        values = next(one.values for one in self.criteria if one.name == stage.criterion)
        pairs = [values[best][seed] - values[second][seed] for seed in sorted(values[best])]
        difference = f"The difference is {_interval(stage.behind[second], stage.criterion, sign=False)}"
        needed = seeds_needed(pairs)
        if needed is None or needed <= len(pairs):
            return f"{difference}."
        return f"{difference}; if it is real, about {needed} seeds would show it."

    def _removed(self) -> Iterator[str]:
        if self.decision.taken:
            return
        for stage in self.decision.stages:
            behind = [
                f"{name} by {_interval(stage.behind[name], stage.criterion, sign=False)}" for name in stage.removed
            ]
            if behind:
                yield f"Worse than {stage.best} in {named(stage.criterion)}: {'; '.join(behind)}."

    def _smaller(self) -> Iterator[str]:
        """Name a student that is smaller than the best in score and not shown to be worse, and say what that means."""
        stage = self.decision.stages[0] if self.decision.stages else None
        if stage is None or stage.seeds < 2:
            return
        chosen = self.decision.taken or stage.best
        costs = {name: facts for name in stage.left if (facts := self._facts(name))}
        if chosen not in costs:
            return
        cheapest = min(costs, key=lambda name: (costs[name].gflops, stage.left.index(name)))
        ratio = costs[chosen].gflops / costs[cheapest].gflops
        if cheapest == chosen or ratio < 1.05:
            return
        distance = stage.behind.get(cheapest)
        if distance is None:  # the cheapest has the best mean
            yield f"{cheapest} is smaller ({ratio:.1f} times fewer multiply-adds), and its {named(stage.criterion)} is the best."
            return
        most = _value(distance.mean + (distance.margin or 0.0), stage.criterion)
        yield (
            f"{cheapest} is smaller ({ratio:.1f} times fewer multiply-adds), and its {named(stage.criterion)} is not shown to be "
            f"worse than that of {stage.best}. It may be worse by up to {most}. Take it if you can afford that."
        )

    def _facts(self, name: str) -> ModelFacts | None:
        evaluated = next(iter(self._outcome(name).evaluated.values()), None)
        return evaluated.facts if evaluated else None

    def _outcome(self, name: str) -> Outcome:
        return next(one for one in self.results.students if one.student.label == name)

    def _bounds(self) -> Iterator[str]:
        """Say what the teacher and random weights reach, and warn if random weights are as good as what is taken."""
        stage = self.decision.stages[0] if self.decision.stages else None
        if stage is None or stage.criterion != SCORE:
            return
        name = self.decision.taken or stage.best
        teacher = self.results.teacher.values.get(SCORE) if self.results.teacher else None
        untrained = self.results.untrained.get(self._outcome(name).student.size)
        random = untrained.values.get(SCORE) if untrained else None
        there = [
            f"{one} {value:.1f}"
            for one, value in (("teacher", teacher), ("random weights", random))
            if value is not None
        ]
        if there:
            yield f"For scale, the score of {name} is {stage.means[name]:.1f}; {', '.join(there)}."
        if random is not None and random >= stage.means[name]:
            yield "Random weights of that size score as much, so these tasks do not measure what distillation gives."

    def _caveats(self) -> Iterator[str]:
        taken = self.decision.taken
        if not taken:
            return
        if self._outcome(taken).at_edge:
            yield f"The learning rate of {taken} is at the edge of what was tried, so it may be better than shown."
        if len(self.decision.stages) == 1 and len(self.criteria) > 1:
            losses = {name: values for name, values in self.criteria[1].values.items() if values}
            means = {name: sum(values.values()) / len(values) for name, values in losses.items()}
            best = min(means, key=lambda name: (means[name], name), default=taken)
            if taken in means and means[best] < means[taken]:
                column = self.criteria[1].name
                yield (
                    f"By {named(column)} another one is ahead: {best} {_value(means[best], column)}, {taken} "
                    f"{_value(means[taken], column)}."
                )

    def _weighing(self) -> str:
        names = [named(one.name) for one in self.criteria]
        share = (
            ""
            if len(names) < 2
            else (
                f" The {names[0]} decides first. Only among students that it does not tell apart, the {names[1]} decides."
            )
        )
        tasks = (
            f"The score is the plain mean of {_listed(self.results.results_of_score)}. " if names[0] == SCORE else ""
        )
        return (
            f"How it is weighed: {tasks}Differences are paired over {self.decision.seeds} seeds of distillation.{share} "
            f"All intervals here hold together with {100 * CONFIDENCE:g} %, so they are at least as wide as in the table "
            "of paired differences."
        )


def verdict(comparison: Comparison, results: Results) -> Verdict:
    """Decide a comparison by its results so far."""
    loss = CONTINUED if comparison.continuation else VALIDATION
    values = {column: {one.student.label: one.column(column) for one in results.students} for column in (SCORE, loss)}
    criteria = tuple(
        Criterion(name=column, lower_is_better=column in LOSSES, values=by_name)
        for column, by_name in values.items()
        if any(by_name.values())
    )
    return Verdict(comparison, results, criteria, decide(criteria, _missing(results)))


def _missing(results: Results) -> dict[str, str]:
    """Return why students cannot be compared although they may have values of some seeds."""
    missing = {}
    for one in results.students:
        failed = sorted({task for evaluated in one.evaluated.values() for task in evaluated.failed})
        if one.lost:
            missing[one.student.label] = f"its loss was not finite with seed {', '.join(map(str, one.lost))}"
        elif failed:
            missing[one.student.label] = f"a fine-tuning on {', '.join(failed)} failed"
    return missing


def seeds_needed(differences: Sequence[float]) -> int | None:
    """Return about how many seeds would show a paired difference of this mean and noise; None for none or very many."""
    mean = abs(sum(differences) / len(differences))
    noise = stdev(differences) if len(differences) > 1 else 0.0
    if not mean or not noise:
        return None
    level = 1 - CONFIDENCE
    wide = (
        n for n in range(2, MOST_SEEDS + 1) if quantile(level, 2, n - 1) / math.sqrt(2) * noise / math.sqrt(n) < mean
    )
    return next(wide, None)


def named(criterion: str) -> str:
    """Return a column's name inside a sentence."""
    return {VALIDATION: "validation loss", CONTINUED: "validation loss after the continuation"}.get(
        criterion, criterion
    )


def _value(value: float, criterion: str) -> str:
    return f"{value:.3f} nats" if criterion in LOSSES else f"{value:.1f}"


def _interval(difference: Difference, criterion: str, sign: bool = True) -> str:
    return interval_text(difference, 3 if criterion in LOSSES else 1, sign) + (" nats" if criterion in LOSSES else "")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
