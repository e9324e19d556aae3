"""The families of models that can teach and learn: one file for each."""

from ...runtime.registry import import_entries
from .family import (
    FAMILIES,
    IGNORED,
    Facts,
    Family,
    ModelFacts,
    SpecialIds,
    Stack,
    family_named,
    family_of,
    is_causal,
    parameter_counts,
    stack_named,
    written_before_5,
)
from .model_type import model_type_of
from .units import HEADS, NEURONS, Units

__all__ = [
    "FAMILIES",
    "HEADS",
    "IGNORED",
    "NEURONS",
    "Facts",
    "Family",
    "ModelFacts",
    "SpecialIds",
    "Stack",
    "Units",
    "family_named",
    "family_of",
    "is_causal",
    "model_type_of",
    "parameter_counts",
    "stack_named",
    "written_before_5",
]

import_entries(__name__, __path__)
