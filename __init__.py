"""MiniEnD: offline distillation of T5-family encoder-decoders.

`miniend dump-teacher` runs a teacher over a corpus once and caches its signals; `miniend train-student` trains students
from the cache without the teacher. Every command is also a function with the same options as keywords, such as
`miniend.dump_teacher(...)` (docs/guide/python.md). `miniend.open_cache(path)` reads a cache, and `miniend.Dataset` feeds it to a
training of your own (docs/guide/reading.md). A module of your own adds loss terms, objectives, layer maps, starts and kinds of
signals to the registries named here (docs/extending.md).
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors as errors
    from .api import compare as compare
    from .api import dry_run as dry_run
    from .api import dump_teacher as dump_teacher
    from .api import estimate as estimate
    from .api import evaluate as evaluate
    from .api import filters as filters
    from .api import inspect as inspect
    from .api import judge_encoder as judge_encoder
    from .api import prune_teacher as prune_teacher
    from .api import push_cache as push_cache
    from .api import schedule as schedule
    from .api import train_student as train_student
    from .api import train_students as train_students
    from .api import verify as verify
    from .cache import open_cache as open_cache
    from .models.families import FAMILIES as FAMILIES
    from .models.families import Family as Family
    from .models.layer_maps import LAYER_MAPS as LAYER_MAPS
    from .models.layer_maps import layer_pairs as layer_pairs
    from .models.projected_encoder import ProjectedT5Encoder as ProjectedT5Encoder
    from .models.start import STARTS as STARTS
    from .models.start import StartRequest as StartRequest
    from .signals.kinds import KINDS as KINDS
    from .signals.kinds import SignalKind as SignalKind
    from .signals.relations.relations import Relation as Relation
    from .signals.sites import Site as Site
    from .student_train.objective import OBJECTIVES as OBJECTIVES
    from .student_train.objective import spec as spec
    from .student_train.reading.dataset import Dataset as Dataset
    from .student_train.student import Student as Student
    from .student_train.terms import TERMS as TERMS
    from .student_train.terms import SitePair as SitePair
    from .student_train.terms import Term as Term
    from .student_train.terms import TermContext as TermContext

__version__ = "0.1.0"

if "ipykernel" in sys.modules:  # a program imports neither tqdm nor the module of progress before it needs them
    from .runtime.progress import choose_bars_of_a_notebook

    choose_bars_of_a_notebook()

_FUNCTIONS = (
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
)
"""The commands as functions."""
_LAZY = {
    **dict.fromkeys(_FUNCTIONS, "api"),
    "open_cache": "cache",
    "FAMILIES": "models.families",
    "Family": "models.families",
    "LAYER_MAPS": "models.layer_maps",
    "layer_pairs": "models.layer_maps",
    "ProjectedT5Encoder": "models.projected_encoder",
    "STARTS": "models.start",
    "StartRequest": "models.start",
    "KINDS": "signals.kinds",
    "SignalKind": "signals.kinds",
    "Relation": "signals.relations.relations",
    "Site": "signals.sites",
    "OBJECTIVES": "student_train.objective",
    "spec": "student_train.objective",
    "Dataset": "student_train.reading.dataset",
    "Student": "student_train.student",
    "TERMS": "student_train.terms",
    "SitePair": "student_train.terms",
    "Term": "student_train.terms",
    "TermContext": "student_train.terms",
}
"""Public name -> the module that has it."""

__all__ = [
    "FAMILIES",
    "KINDS",
    "LAYER_MAPS",
    "OBJECTIVES",
    "STARTS",
    "TERMS",
    "Dataset",
    "Family",
    "ProjectedT5Encoder",
    "Relation",
    "SignalKind",
    "Site",
    "SitePair",
    "StartRequest",
    "Student",
    "Term",
    "TermContext",
    "__version__",
    "compare",
    "dry_run",
    "dump_teacher",
    "errors",
    "estimate",
    "evaluate",
    "filters",
    "inspect",
    "judge_encoder",
    "layer_pairs",
    "open_cache",
    "prune_teacher",
    "push_cache",
    "schedule",
    "spec",
    "train_student",
    "train_students",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that `import miniend` (and `--help`) stay instant."""
    if name == "errors":
        return import_module(f"{__name__}.errors")
    if name not in _LAZY:
        raise AttributeError(f"module 'miniend' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names, so that consoles complete those that are not imported yet."""
    return __all__
