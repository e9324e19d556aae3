"""The settings of `miniend filters`; without torch."""

from dataclasses import dataclass
from pathlib import Path

from ...runtime.local_names import path_or_name, path_or_url
from ...runtime.options import check, option


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterSettings:
    """Everything that decides filters except the teacher and its cache."""

    filter: tuple[str, ...] = option(
        (),
        section="essential",
        metavar="SITES",
        shown="six of each stack's stored layers, at equal distances, or all of fewer",
        help="Layers that get a filter, such as encoder.hidden@uniform:6. The cache must hold their states. Repeatable.",
    )
    filter_width: int | None = option(
        None,
        section="essential",
        least=1,
        shown="a quarter of the teacher's width, rounded to 64",
        help="Width of what a filter returns.",
    )
    filter_steps: int = option(
        500,
        section="training",
        least=0,
        help="Steps of training the filters, all together; 0 leaves them at the principal directions of the states.",
    )
    batch_size: int = option(
        16, section="training", least=1, help="Training examples of a step, from the front of the cache."
    )
    seed: int = option(0, section="advanced", least=0, help="Seed of which encoder filter a step trains.")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class FiltersConfig(FilterSettings):
    """The options of `miniend filters`."""

    cache: str | Path = option(
        section="essential",
        metavar="PATH",
        local=path_or_url,
        help="Directory or URL of a finished cache that holds hidden states. The filters are added to it; its shards stay.",
    )
    teacher: str = option(
        section="essential",
        metavar="PATH_OR_NAME",
        local=path_or_name,
        help="Folder or hub name of the teacher from which the cache was dumped. Its weights are checked against the cache.",
    )
    device: str = option("auto", section="speed", help="auto, cpu, cuda or cuda:N.")
