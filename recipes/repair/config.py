"""The settings of verify and repair; without torch."""

from dataclasses import dataclass
from pathlib import Path

from ...runtime.local_names import corpus as corpus_name
from ...runtime.local_names import path_or_name, path_or_url
from ...runtime.options import check, option


@dataclass(frozen=True, kw_only=True, slots=True)
class RepairConfig:
    """The options of a repair; everything except teacher and corpus comes from the plan."""

    cache: str | Path = option(
        section="essential",
        positional=True,
        metavar="CACHE",
        local=path_or_url,
        help="Directory or URL of a cache, finished or not.",
    )
    teacher: str | None = option(
        None,
        section="corpus",
        metavar="PATH_OR_NAME",
        local=path_or_name,
        shown="as dump.yaml says",
        help="For --repair: the teacher of the dump. It is checked against the plan.",
    )
    corpus: tuple[str, ...] = option(
        (),
        section="corpus",
        metavar="PATH_OR_NAME",
        local=corpus_name,
        shown="as dump.yaml says",
        help="For --repair: the corpora of the dump, in the same order. They are checked against the plan. Repeatable.",
    )
    split: str = option(
        "train",
        section="corpus",
        help="For --repair: the split of saved datasets, as the dump had it. That of an hf: corpus is in the plan.",
    )
    device: str = option("auto", section="speed", help="For --repair: auto, cpu, cuda or cuda:N.")
    mixed_environment: bool = option(
        False,
        section="advanced",
        help="For --repair: work in an environment that differs from the plan's, and accept its values.",
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyConfig(RepairConfig):
    """The options of `miniend verify`."""

    repair: bool = option(
        False,
        section="essential",
        help="First dump again what is damaged or missing, and remove unlisted files from published folders.",
    )
    as_json: bool = option(False, section="essential", flag="--json", help="Print one JSON object.")
