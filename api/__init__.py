"""The commands as Python functions, with keywords of the same names and defaults; `__init__.pyi` has their signatures."""

from .calls import (
    compare,
    dry_run,
    dump_teacher,
    estimate,
    evaluate,
    filters,
    inspect,
    judge_encoder,
    prune_teacher,
    push_cache,
    schedule,
    train_student,
    train_students,
    verify,
)

__all__ = [
    "compare",
    "dry_run",
    "dump_teacher",
    "estimate",
    "evaluate",
    "filters",
    "inspect",
    "judge_encoder",
    "prune_teacher",
    "push_cache",
    "schedule",
    "train_student",
    "train_students",
    "verify",
]
