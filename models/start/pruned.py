"""Start a student as a prefix of a sorted teacher: the most important heads and neurons of each layer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ConfigurationError
from ...runtime.durable import is_there
from ...runtime.there import look
from ..pruning.prefix import cut_model
from ..pruning.widths import PRUNED, RECORD, kept_widths, widths_of
from .checkpoint import load_student
from .request import STARTS, StartRequest


@STARTS.register(PRUNED)
def pruned(request: StartRequest) -> Any:
    """Return a student with the first heads and neurons of the sorted teacher that the source names; `keep` says how many.

    Its depth and d_model are the teacher's.
    """
    if request.size:
        raise ConfigurationError(
            f"--init {PRUNED}:{request.source} gives the size by --keep; leave --size {request.size} out"
        )
    if request.keep is None:
        raise ConfigurationError(
            f"--init {PRUNED}:{request.source}: expected the fraction of heads and neurons to keep, found none; "
            "give it with --keep, such as --keep 0.5"
        )
    model = load_sorted(request.source, request.teacher_config)
    return cut_model(model, kept_widths(widths_of(model.config), request.keep))


def load_sorted(source: str | Path, teacher_config: Mapping[str, Any]) -> Any:
    """Return the whole sorted teacher in a folder that prune-teacher wrote, as a float32 student on the CPU.

    Raises ConfigurationError for another folder: the first heads and neurons of an unsorted model are any.
    """
    if not is_there(Path(source) / RECORD):
        raise ConfigurationError(
            f"--init {PRUNED}:{source}: expected a folder that miniend prune-teacher wrote, with {RECORD}, found "
            f"{look(Path(source)).words}; sort the teacher with prune-teacher first"
        )
    return load_student(source, teacher_config)
