"""The seconds that a comparison has taken, stage by stage, summed over all its processes and interruptions."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from ....evaluation.records import read_as, write_record
from ....runtime.claims import Claims
from ....storage.documents.values import Number
from ..file.paths import Paths


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What the file holds."""

    seconds: Mapping[str, Number] = field(default_factory=dict)


@contextmanager
def counted(stage: str, paths: Paths, claims: Claims) -> Iterator[None]:
    """Add the seconds inside to the ones of a stage, also if an error ends it."""
    begun = perf_counter()
    try:
        yield
    finally:
        seconds = perf_counter() - begun
        claims.wait("spent", lambda: None)
        try:
            so_far = spent_seconds(paths)
            write_record(paths.spent, {"seconds": so_far | {stage: so_far.get(stage, 0.0) + seconds}})
        finally:
            claims.release("spent")


def spent_seconds(paths: Paths) -> dict[str, float]:
    """Return the seconds by stage, in the order in which the stages first ended."""
    record = read_as(paths.spent, Spent)
    return dict(record.seconds) if record else {}
