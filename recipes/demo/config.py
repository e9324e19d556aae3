"""The options of the demo; without torch."""

from dataclasses import dataclass
from pathlib import Path

from ...runtime.options import option


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoConfig:
    """The options of `miniend demo`."""

    output: Path = option(
        Path("demo-output"), section="essential", help="Directory for everything that the demo writes."
    )
