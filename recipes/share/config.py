"""The options of push-cache; without torch."""

from dataclasses import dataclass
from pathlib import Path

from ...runtime.options import check, option


@dataclass(frozen=True, kw_only=True, slots=True)
class PushCacheConfig:
    """The options of `miniend push-cache`."""

    name: str = option(
        section="essential",
        positional=True,
        metavar="USER/NAME",
        help="Data set on the Hugging Face hub; it is made if it does not exist.",
    )
    cache: Path = option(section="essential", help="Directory of the cache.")
    hub_private_repo: bool = option(
        False,
        section="essential",
        shown="the hub's own: public, unless the organization says otherwise",
        help="Make a new data set private. One that exists stays as it is.",
    )
    verify: bool = option(
        True,
        section="advanced",
        shown="read first",
        help="Do not read every byte of the cache first, by which a damaged one is refused.",
    )
    allow_unfinished: bool = option(
        False, section="advanced", help="Upload what an unfinished dump has published so far."
    )

    def __post_init__(self) -> None:
        check(self)
