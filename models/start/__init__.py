"""The ways to start a student: one file and one line here for each."""

from . import checkpoint, fresh, teacher_layers
from .request import STARTS, Start, StartRequest, parse_init, start_student

__all__ = [
    "STARTS",
    "Start",
    "StartRequest",
    "checkpoint",
    "fresh",
    "parse_init",
    "start_student",
    "teacher_layers",
]
