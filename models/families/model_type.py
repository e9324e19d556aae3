"""Recognize the family of a checkpoint from its config.json, and of a model from its class."""

from collections.abc import Mapping
from typing import Any

from ...errors import CheckpointError, shortened
from .family import FAMILIES, Family, family_named

_SUFFIXES = ("ForConditionalGeneration", "WithLMHeadModel", "Model")
ENCODER = "-encoder"
"""The end of the name of a family whose models are the encoder of another's."""
_OF_DECODERS = (
    *("num_decoder_layers", "decoder_start_token_id", "tie_word_embeddings", "tie_encoder_decoder"),
    *("scale_decoder_outputs", "use_cache", "task_specific_params", "n_positions", "output_past"),
)
"""Members of a config.json that mean nothing to an encoder, or that only the full model writes."""
_ENCODER_MODEL = "EncoderModel"
"""The end of the name of their classes in transformers, whose `model_type` is that of the full model."""


def model_type_of(raw_config: Mapping[str, Any]) -> str:
    """Return the family that a config.json names; `architectures[0]` decides if `model_type` is missing.

    It also tells an encoder without decoder, such as T5EncoderModel, from a full model of the same `model_type`.
    Raises CheckpointError, with the names in the file, if the family is not registered.
    """
    named, listed = raw_config.get("model_type"), raw_config.get("architectures")
    architecture = listed[0] if isinstance(listed, list | tuple) and listed and isinstance(listed[0], str) else ""
    if isinstance(named, str) and named in FAMILIES:
        return f"{named}{ENCODER}" if _is_encoder(named, architecture) else named
    stems = {_stem(family.architecture): name for name, family in FAMILIES.items()}
    if not named and _stem(architecture) in stems:
        return stems[_stem(architecture)]
    raise CheckpointError(
        f"not a T5-family model: config.json names model_type {shortened(repr(named))}, architecture "
        f"{shortened(repr(architecture))}; supported are {', '.join(_full())} (T5 v1.1 and Flan-T5 are of type t5) and encoders"
    )


def _is_encoder(named: str, architecture: str) -> bool:
    return architecture.endswith(_ENCODER_MODEL) and f"{named}{ENCODER}" in FAMILIES


def encoder_of(raw_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config.json of a checkpoint's encoder: the same whether the checkpoint is the full model or the encoder.

    Raises CheckpointError for a family without such encoders.
    """
    named = model_type_of(raw_config)
    name = named if named.endswith(ENCODER) else f"{named}{ENCODER}"
    if name not in FAMILIES:
        raise CheckpointError(f"a model of the family {named} does not have an encoder without decoder")
    members = {key: value for key, value in raw_config.items() if key not in _OF_DECODERS}
    return {**members, "is_encoder_decoder": False, "architectures": [FAMILIES[name].architecture]}


def is_encoder(raw_config: Mapping[str, Any]) -> bool:
    """Return whether a config.json, or the settings of a student, are of an encoder without decoder."""
    return not family_named(model_type_of(raw_config)).predicts


def stated_config(model: Any) -> dict[str, Any]:
    """Return the configuration of a loaded model, with its class, which transformers adds only when it saves."""
    return {**model.config.to_dict(), "architectures": [type(model).__name__]}


def family_of(model: Any) -> Family:
    """Return the family of a loaded transformers model."""
    return family_named(model_type_of({"model_type": model.config.model_type, "architectures": [type(model).__name__]}))


def parameter_counts(model: Any) -> tuple[int, int]:
    """Return the number of all parameters, and the number without the input embedding and an untied head.

    Shared parameters count once.
    """
    total = sum(parameter.numel() for parameter in model.parameters())
    return total, total - sum(parameter.numel() for parameter in family_of(model).embeddings(model))


def _full() -> list[str]:
    """Return the families that are not encoders of another."""
    return [name for name in FAMILIES if not name.endswith(ENCODER)]


def _stem(architecture: str) -> str:
    for suffix in _SUFFIXES:
        architecture = architecture.removesuffix(suffix)
    return architecture
