"""The settings of prune-teacher; without torch."""

from dataclasses import dataclass
from pathlib import Path

from ...models.pruning.widths import IMPORTANCES, MEASURED
from ...runtime.local_names import path_or_name, path_or_url
from ...runtime.options import check, option


@dataclass(frozen=True, kw_only=True, slots=True)
class PruneConfig:
    """The options of `miniend prune-teacher`."""

    teacher: str = option(
        section="essential",
        metavar="PATH_OR_NAME",
        local=path_or_name,
        help="Folder or hub name of the teacher from which the cache was dumped. Its weights are checked against the cache.",
    )
    cache: str | Path = option(
        section="essential",
        metavar="PATH",
        local=path_or_url,
        help="Directory or URL of a finished cache, whose examples decide what is important.",
    )
    output: Path = option(section="essential", once=True, help="Directory for the sorted teacher, a checkpoint.")
    examples: int = option(
        64,
        section="essential",
        least=1,
        identity=True,
        help="Training examples, the first of the cache, on which importance is measured; 32 or more.",
    )
    importance: str = option(
        MEASURED,
        section="essential",
        choices=IMPORTANCES,
        identity=True,
        help="measured: a self-attention head is as important as the loss without it says; all else by the gradient. gradient: "
        "MiniDisc's gradient of the loss by masks for all, which is faster and worse for self-attention heads.",
    )
    device: str = option("auto", section="speed", help="auto, cpu, cuda or cuda:N.")

    def __post_init__(self) -> None:
        check(self)
