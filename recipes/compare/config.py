"""The options of compare; without torch. The YAML file says what is compared (`file/reading.py`)."""

from dataclasses import dataclass
from pathlib import Path

from ...runtime.options import option


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareConfig:
    """The options of `miniend compare`."""

    file: Path = option(
        section="essential",
        positional=True,
        metavar="FILE",
        help="YAML file that says what is compared; see docs/guide/compare.md.",
    )
    output: Path = option(
        section="essential",
        once=True,
        help="Directory for caches, students, evaluations and report. Finished work is kept, and so is the file: to go on, this "
        "option is enough.",
    )
    plan: bool = option(
        False,
        section="essential",
        help="Time a little of everything, print the planned hours, and stop.",
    )
