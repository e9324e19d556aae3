"""Time two ways to compute one loss with its gradients, in turns."""

from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Protocol

import torch
from torch import Tensor


class Case(Protocol):
    """A loss that is ready to be computed. It has a method for each way, which ends with the gradients of `leaves`."""

    device: str
    leaves: Sequence[Tensor]


def in_turns(case: Case, ways: Sequence[str], repeats: int) -> tuple[dict[str, list[float]], dict[str, list[Tensor]]]:
    """Return by way the seconds of all repeats except the first, which warms up, and the gradients of the last."""
    seconds, gradients = {way: [] for way in ways}, {}
    for repeat in range(repeats + 1):
        for way, found in seconds.items():
            taken, gradients[way] = _timed(case, way)
            if repeat:
                found.append(taken)
    return seconds, gradients


def _timed(case: Case, way: str) -> tuple[float, list[Tensor]]:
    for leaf in case.leaves:
        leaf.grad = None
    begun = perf_counter()
    getattr(case, way)()
    if case.device != "cpu":
        torch.cuda.synchronize()
    return perf_counter() - begun, [leaf.grad for leaf in case.leaves]


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Return the median of the ratios of turns."""
    return median(b / a for a, b in zip(slow, fast, strict=True))


def shown(seconds: Sequence[float], digits: int) -> str:
    """Return the text `median (least-greatest)`."""
    return f"{median(seconds):.{digits}f} ({min(seconds):.{digits}f}-{max(seconds):.{digits}f})"
