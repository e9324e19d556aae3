"""The pilot study of the MiniEnD paper in our reading: how strongly, and how unsteadily, the gradients of the implicit and of the
explicit objectives reach the parts of a student.

Unsteadiness grows with the learning rate, so objectives are compared at one rate: runs of the search for learning rates, which
all rows made with one seed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import fmean, stdev
from typing import Any

from ....student_train.run.metrics import curve, read_metrics
from .results import Outcome, Results

OBJECTIVES = ("implicit", "miniend-d", "miniend-e")
"""Those with the logit term: the implicit one, and the two explicit ones."""
PARTS = {
    "encoder": "encoder",
    "decoder_self": "decoder self-attention",
    "decoder_cross": "cross-attention",
    "decoder_feed_forward": "decoder feed-forward",
}
Run = Sequence[Mapping[str, Any]]
"""Lines of metrics.jsonl."""


def pilot_outcomes(results: Results) -> list[Outcome]:
    """The rows of the study; none where there are fewer than two of its objectives."""
    found = [one for one in results.students if one.student.name in OBJECTIVES and one.tried]
    return found if len({one.student.name for one in found}) > 1 else []


def common_rate(outcomes: Sequence[Outcome]) -> float | None:
    """The learning rate at which they are compared: the one that the first takes, else the smallest that all have tried."""
    tried = set.intersection(*(set(one.tried) for one in outcomes)) if outcomes else set()
    return outcomes[0].rate if outcomes and outcomes[0].rate in tried else min(tried, default=None)


def norms(run: Run, part: str) -> tuple[list[float], list[float]]:
    """Steps and gradient norms of a part."""
    steps, values = curve(run, f"gradient_norm.{part}")
    return list(steps), list(values)


def mean_norm(run: Run, part: str) -> float:
    """Without the first tenth, where all norms fall; not a number without any."""
    return fmean(_settled(run, part)) if _settled(run, part) else math.nan


def unsteadiness(run: Run, part: str) -> float:
    """The standard deviation of log norm differences between lines of the log, over sqrt(2): that of single lines about a trend
    that is slower than they are. The first tenth is left out. Not a number where fewer than three lines remain."""
    steps = [math.log(b / a) for a, b in pairwise(_settled(run, part)) if a > 0 and b > 0]
    return stdev(steps) / math.sqrt(2) if len(steps) > 1 else math.nan


def gradient_rows(outcomes: Sequence[Outcome]) -> Iterator[list[str]]:
    """For every learning rate that all have tried: row and rate, then mean norm and unsteadiness of each part."""
    for rate in sorted(set.intersection(*(set(one.tried) for one in outcomes)) if outcomes else ()):
        for outcome in outcomes:
            run = read_metrics(outcome.tried[rate])
            cells = [f"{mean_norm(run, part):.3g}; {unsteadiness(run, part):.2f}" for part in PARTS]
            yield [f"{outcome.student.label}, {rate:g}", *cells]


def _settled(run: Run, part: str) -> list[float]:
    values = norms(run, part)[1]
    return values[len(values) // 10 :]
