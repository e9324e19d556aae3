"""The lambda-tradeoff of MiniDisc: which candidate to take, and at which lambdas another one would be taken.

t(c) = m(c) + lambda (1 - size_c). The paper's t takes the nominal sparsity of heads and neurons and the best metric so far; here
sizes are parameters, and all scores are of one evaluation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate with what decides on it."""

    keep: float
    size: float
    """Its parameters without embeddings over the teacher's."""
    score: float
    """m, in [0, 1]."""

    def tradeoff(self, weight: float) -> float:
        """Return t for a lambda."""
        return self.score + weight * (1 - self.size)


@dataclass(frozen=True, slots=True)
class Reign:
    """A candidate that is chosen for the lambdas from `start` on, up to the next one's."""

    start: float
    keep: float


def eligible(candidates: Iterable[Scored], target: float) -> list[Scored]:
    """Return the candidates that are not smaller than the target, the smallest first."""
    return sorted((one for one in candidates if one.keep >= target), key=lambda one: one.size)


def choose(candidates: Sequence[Scored], target: float, weight: float) -> Scored:
    """Return the candidate with the greatest t that is not smaller than the target; of equals the smaller."""
    return max(eligible(candidates, target), key=lambda one: (one.tradeoff(weight), -one.size))


def reigns(candidates: Sequence[Scored], target: float) -> list[Reign]:
    """Return for which lambdas from 0 on each candidate is chosen: the upper envelope of the lines t(lambda)."""
    left, now = eligible(candidates, target), choose(candidates, target, 0.0)
    found = [Reign(0.0, now.keep)]
    # a smaller candidate overtakes at the lambda at which the lines cross: (m_now - m) / (size_now - size)
    while smaller := [one for one in left if one.size < now.size]:
        start, _, now = min(
            (((now.score - one.score) / (now.size - one.size), one.size, one) for one in smaller), key=lambda it: it[:2]
        )
        found.append(Reign(start, now.keep))
    return found
