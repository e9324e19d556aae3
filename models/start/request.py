"""What a student is asked to begin as, and the registry of the ways to begin."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConfigurationError
from ...runtime.registry import Registry


@dataclass(frozen=True, kw_only=True, slots=True)
class StartRequest:
    """What decides a student's first weights."""

    source: str
    """What follows the name in `--init NAME:SOURCE`, such as a folder or a hub name; empty for `fresh`."""
    size: str | None
    """The size that the user asked for, as `models/size.py` reads it."""
    default_size: str
    """The size where the user asked for none."""
    seed: int
    teacher_config: Mapping[str, Any]
    """The teacher's config.json, with `vocab_size` as its head has rows."""
    tied: bool
    """Whether the teacher's head is its embedding."""


Start = Callable[[StartRequest], Any]
"""Returns a float32 student on the CPU, without dropout. Raises ConfigurationError where the request does not fit."""

STARTS: Registry[Start] = Registry("start")

DEFAULT_START, CHECKPOINT = "fresh", "checkpoint"


def start_student(init: str | None, request: Mapping[str, Any]) -> Any:
    """The student that `--init [NAME:]SOURCE` asks for: NAME is one of STARTS, without one SOURCE is a checkpoint.

    `request` has the members of a StartRequest without `source`.
    """
    name, source = parse_init(init)
    return STARTS[name](StartRequest(source=source, **request))


def parse_init(init: str | None) -> tuple[str, str]:
    """The name of a start and its source. Raises ConfigurationError for a name that is not registered."""
    if init is None:
        return DEFAULT_START, ""
    name, colon, source = init.partition(":")
    if not colon or Path(init).exists():
        return CHECKPOINT, init
    if name not in STARTS:
        raise ConfigurationError(
            f"--init {init}: unknown start {name!r}; expected a checkpoint, or one of {', '.join(STARTS)} with a colon and source"
        )
    return name, source
