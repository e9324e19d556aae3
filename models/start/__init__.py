"""Where a student begins: one file for each way."""

from ...runtime.registry import import_entries
from .request import STARTS, Start, StartRequest
from .starting import parse_init, start_student

__all__ = ["STARTS", "Start", "StartRequest", "parse_init", "start_student"]

import_entries(__name__, __path__)
