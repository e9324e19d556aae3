"""The options of compare; without torch. What is compared is in its YAML file (`file/reading.py`)."""

from dataclasses import dataclass
from pathlib import Path

from ...runtime.options import option


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareConfig:
    """What `miniend compare` is asked for."""

    file: Path = option(
        section="essential", positional=True, metavar="FILE", help="YAML file that says what is compared; see README."
    )
    output: Path = option(
        section="essential", help="Directory for caches, students, evaluations and report. What is there is kept."
    )
    plan: bool = option(
        False,
        section="essential",
        help="Time a little of everything, print the hours that are planned, and stop.",
    )
