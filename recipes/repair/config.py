"""The settings of verify and repair; without torch."""

from dataclasses import dataclass
from pathlib import Path

from ...runtime.options import option


@dataclass(frozen=True, kw_only=True, slots=True)
class RepairConfig:
    """What a repair is asked for; everything but teacher and corpus comes from the plan."""

    cache: str | Path = option(
        section="essential",
        positional=True,
        metavar="CACHE",
        help="Directory or URL of a cache, finished or not.",
    )
    teacher: str | None = option(
        None,
        section="corpus",
        shown="none",
        help="For --repair: the teacher of the dump. It is checked against the plan.",
    )
    corpus: tuple[str, ...] = option(
        (),
        section="corpus",
        shown="none",
        help="For --repair: the corpora of the dump in their order. They are checked against the plan. Repeatable.",
    )
    device: str = option("auto", section="speed", help="For --repair: auto, cpu, cuda or cuda:N.")
    mixed_environment: bool = option(
        False,
        section="advanced",
        help="For --repair: work in another environment than the plan's, and accept the values that it gives.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyConfig(RepairConfig):
    """What `miniend verify` is asked for."""

    repair: bool = option(
        False,
        section="essential",
        help="First dump again what is damaged or missing, and remove unlisted files inside published folders.",
    )
    as_json: bool = option(False, section="essential", flag="--json", help="Print one JSON object.")
