"""The request for a student's first weights, and the registry of the ways to start."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConfigurationError
from ...runtime.registry import Registry


@dataclass(frozen=True, kw_only=True, slots=True)
class StartRequest:
    """The facts that decide a student's first weights."""

    source: str
    """The part after the name in `--init NAME:SOURCE`, such as a folder or a hub name; empty for `fresh`."""
    size: str | None
    """The size that the user asked for, in a form that `models/size.py` parses; None if the user did not say."""
    default_size: str
    """The size if the user did not say."""
    seed: int
    teacher_config: Mapping[str, Any]
    """The teacher's config.json, with the number of rows of its head as `vocab_size`."""
    tied: bool
    """Whether the teacher's head is its embedding."""


Start = Callable[[StartRequest], Any]
"""A function that returns a float32 student on the CPU, without dropout.

Raises ConfigurationError if the request does not fit.
"""

STARTS: Registry[Start] = Registry("start")

DEFAULT_START, CHECKPOINT = "fresh", "checkpoint"


def start_student(init: str | None, request: Mapping[str, Any]) -> Any:
    """Return the student that `--init [NAME:]SOURCE` asks for; NAME is one of STARTS, `checkpoint` if it is left out.

    `request` has the members of a StartRequest without `source`.
    """
    name, source = parse_init(init)
    return STARTS[name](StartRequest(source=source, **request))


def parse_init(init: str | None) -> tuple[str, str]:
    """Return the name of a start and its source, from the value of `--init`.

    Raises ConfigurationError for a name that is not registered.
    """
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
