"""The settings of inspect; without torch."""

from dataclasses import dataclass
from pathlib import Path

from ...runtime.local_names import path_or_url
from ...runtime.options import check, option


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectConfig:
    """The options of `miniend inspect`."""

    cache: str | Path = option(
        section="essential",
        positional=True,
        metavar="CACHE",
        local=path_or_url,
        help="Directory or URL of a cache, finished or not.",
    )
    as_json: bool = option(False, section="essential", flag="--json", help="Print one JSON object.")
    plot: Path | None = option(
        None,
        section="essential",
        shown="no picture",
        help="Also draw sizes, spectra and fidelity into this .png, .svg or .pdf file.",
    )

    def __post_init__(self) -> None:
        check(self)
