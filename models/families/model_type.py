"""Recognize the family of a checkpoint from its config.json."""

from collections.abc import Mapping
from typing import Any

from ...errors import CheckpointError
from .family import FAMILIES

_SUFFIXES = ("ForConditionalGeneration", "WithLMHeadModel", "Model")


def model_type_of(raw_config: Mapping[str, Any]) -> str:
    """Return the family that a config.json names; `architectures[0]` decides if `model_type` is missing.

    Raises CheckpointError, with the names in the file, if the family is not registered.
    """
    named = raw_config.get("model_type")
    if named in FAMILIES:
        return str(named)
    architecture = (raw_config.get("architectures") or [""])[0]
    stems = {_stem(family.architecture): name for name, family in FAMILIES.items()}
    if not named and _stem(architecture) in stems:
        return stems[_stem(architecture)]
    raise CheckpointError(
        f"not a T5-family encoder-decoder: config.json names model_type {named!r}, architecture {architecture!r}; "
        f"supported are {', '.join(FAMILIES)} (T5 v1.1 and Flan-T5 are of type t5)"
    )


def _stem(architecture: str) -> str:
    for suffix in _SUFFIXES:
        architecture = architecture.removesuffix(suffix)
    return architecture
