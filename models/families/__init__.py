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
    is_causal,
    stack_named,
    written_before_5,
)
from .model_type import encoder_of, family_of, is_encoder, model_type_of, parameter_counts, stated_config
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
    "encoder_of",
    "family_named",
    "family_of",
    "is_causal",
    "is_encoder",
    "model_type_of",
    "parameter_counts",
    "stack_named",
    "stated_config",
    "written_before_5",
]

import_entries(__name__, __path__)
