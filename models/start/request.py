"""The request for a student's first weights, and the registry of the ways to start."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...runtime.registry import Registry


@dataclass(frozen=True, kw_only=True, slots=True)
class StartRequest:
    """The facts that decide a student's first weights."""

    source: str
    """The part after the name in `--init NAME:SOURCE`, such as a folder or a hub name; empty if there is none."""
    size: str | None
    """The size that the user asked for, in a form that `models/size.py` parses; None if the user did not say."""
    proposed_size: str
    """The size if the user did not say: half the teacher's depth and width."""
    teacher_width: int
    """The teacher's d_model."""
    seed: int
    teacher_config: Mapping[str, Any]
    """The teacher's config.json, with the number of rows of its head as `vocab_size`."""
    tied: bool
    """Whether the teacher's head is its embedding."""
    keep: float | None = None
    """The fraction of heads and neurons that the user asked for; None if the user did not say."""


Start = Callable[[StartRequest], Any]
"""A function that returns a float32 student on the CPU. Raises ConfigurationError if the request does not fit."""

STARTS: Registry[Start] = Registry(
    "start", "a function of a miniend.StartRequest", lambda _name, entry: callable(entry)
)

DEFAULT_START, CHECKPOINT = "fresh", "checkpoint"
