"""Work that is useful now and then, and whose time may grow with what is on the disk, such as listing a folder of all shards."""

from collections.abc import Callable
from time import perf_counter

SHARE = 0.01
"""The largest part of the time that such work takes."""


class Sparingly:
    """Does work at most so often that it takes a hundredth of the time; in between, a call does nothing."""

    def __init__(self) -> None:
        self._due = 0.0

    def __call__(self, work: Callable[[], object]) -> None:
        """Do the work if it is due."""
        begun = perf_counter()
        if begun < self._due:
            return
        work()
        ended = perf_counter()
        self._due = ended + (ended - begun) * (1 - SHARE) / SHARE
