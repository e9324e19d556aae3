"""The families of models that can teach and learn: one file and one line here for each."""

from . import mt5, t5, umt5
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
)
from .model_type import model_type_of

__all__ = [
    "FAMILIES",
    "IGNORED",
    "Facts",
    "Family",
    "ModelFacts",
    "SpecialIds",
    "Stack",
    "family_named",
    "family_of",
    "is_causal",
    "model_type_of",
    "mt5",
    "parameter_counts",
    "stack_named",
    "t5",
    "umt5",
]
