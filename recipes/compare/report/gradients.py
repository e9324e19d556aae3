"""The pilot study of the MiniEnD paper in our reading: gradients of implicit and explicit objectives in a student's parts.

It measures how large these gradients are, and how unsteady. Unsteadiness grows with the learning rate, so we compare objectives
at one rate. The runs are the ones of the search for learning rates, which all rows made with one seed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import fmean, stdev
from typing import Any

from ....student_train.run.metrics import curve, read_metrics
from .results import Outcome, Results

OBJECTIVES = ("implicit", "miniend-d", "miniend-e")
"""The objectives of the study, all with the logit term: one implicit and two explicit."""
PARTS = {
    "encoder": "encoder",
    "decoder_self": "decoder self-attention",
    "decoder_cross": "cross-attention",
    "decoder_feed_forward": "decoder feed-forward",
}
PICTURE = "gradients.png"
Run = Sequence[Mapping[str, Any]]
"""The lines of metrics.jsonl."""


def pilot_outcomes(results: Results) -> list[Outcome]:
    """Return the rows of the study; none if the comparison has fewer than two of its objectives."""
    outcomes = [one for one in results.students if one.student.name in OBJECTIVES and one.tried]
    return outcomes if len({one.student.name for one in outcomes}) > 1 else []


def common_rate(outcomes: Sequence[Outcome]) -> float | None:
    """Return the learning rate to compare at: the first row's best rate, or the smallest that all rows tried."""
    tried = set.intersection(*(set(one.tried) for one in outcomes)) if outcomes else set()
    return outcomes[0].rate if outcomes and outcomes[0].rate in tried else min(tried, default=None)


def norms(run: Run, part: str) -> tuple[list[float], list[float]]:
    """Return the steps and the gradient norms of a part."""
    steps, values = curve(run, f"gradient_norm.{part}")
    return list(steps), list(values)


def mean_norm(run: Run, part: str) -> float:
    """Return the mean norm without the first tenth of the lines, where all norms fall; NaN without norms."""
    return fmean(_settled(run, part)) if _settled(run, part) else math.nan


def unsteadiness(run: Run, part: str) -> float:
    """Return how much the log norm varies from line to line: std(log n[i+1] - log n[i]) / sqrt(2).

    That is the standard deviation of single lines about a slow trend. The first tenth of the lines is left out. NaN if fewer than
    three lines remain.
    """
    steps = [math.log(b / a) for a, b in pairwise(_settled(run, part)) if a > 0 and b > 0]
    return stdev(steps) / math.sqrt(2) if len(steps) > 1 else math.nan


def gradient_rows(outcomes: Sequence[Outcome]) -> Iterator[list[str]]:
    """Yield for every learning rate that all rows tried: row and rate, then mean norm and unsteadiness of each part."""
    for rate in sorted(set.intersection(*(set(one.tried) for one in outcomes)) if outcomes else ()):
        for outcome in outcomes:
            run = read_metrics(outcome.tried[rate])
            cells = [f"{mean_norm(run, part):.3g}; {unsteadiness(run, part):.2f}" for part in PARTS]
            yield [f"{outcome.student.label}, {rate:g}", *cells]


def _settled(run: Run, part: str) -> list[float]:
    values = norms(run, part)[1]
    return values[len(values) // 10 :]
