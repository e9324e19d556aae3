"""Recognize the family of a checkpoint from its config.json."""

from collections.abc import Mapping
from typing import Any

from ...errors import CheckpointError, shortened
from .family import FAMILIES

_SUFFIXES = ("ForConditionalGeneration", "WithLMHeadModel", "Model")


def model_type_of(raw_config: Mapping[str, Any]) -> str:
    """Return the family that a config.json names; `architectures[0]` decides if `model_type` is missing.

    Raises CheckpointError, with the names in the file, if the family is not registered.
    """
    named, listed = raw_config.get("model_type"), raw_config.get("architectures")
    if isinstance(named, str) and named in FAMILIES:
        return named
    architecture = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], str) else ""
    stems = {_stem(family.architecture): name for name, family in FAMILIES.items()}
    if not named and _stem(architecture) in stems:
        return stems[_stem(architecture)]
    raise CheckpointError(
        f"not a T5-family encoder-decoder: config.json names model_type {shortened(repr(named))}, architecture "
        f"{shortened(repr(architecture))}; supported are {', '.join(FAMILIES)} (T5 v1.1 and Flan-T5 are of type t5)"
    )


def _stem(architecture: str) -> str:
    for suffix in _SUFFIXES:
        architecture = architecture.removesuffix(suffix)
    return architecture
