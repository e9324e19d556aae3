"""Hold config.json against itself and against the headers of the weights, before anything is allocated.

A number in a small file must not cost memory or hours: transformers would make the layers and rows that it states, at random,
and only then compare them with the weights.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from ..errors import CheckpointError, shortened
from .configuration import configuration_of
from .families import family_named, model_type_of, parameter_counts

_LARGEST = 2**31
_FREE = 10**7
"""A number of parameters that costs nobody anything."""
Misfit = tuple[str, Sequence[int], Sequence[int]]
"""A tensor, its shape in the file and its shape by config.json."""


def _size(value: Any) -> bool:
    return type(value) is int and 1 <= value < _LARGEST


def _id(value: Any) -> bool:
    return value is None or (type(value) is int and 0 <= value < _LARGEST)


def _ids(value: Any) -> bool:
    return _id(value) or (isinstance(value, list) and all(_id(one) for one in value))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


_EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(
        ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads"), (_size, "a whole number of at least 1")
    ),
    "num_decoder_layers": (lambda value: value is None or _size(value), "a whole number of at least 1"),
    **dict.fromkeys(
        ("relative_attention_num_buckets", "relative_attention_max_distance"), (_size, "a whole number of at least 1")
    ),
    **dict.fromkeys(("pad_token_id", "decoder_start_token_id"), (_id, "a token id or null")),
    "eos_token_id": (_ids, "a token id, a list of them or null"),
    **dict.fromkeys(("layer_norm_epsilon", "dropout_rate", "initializer_factor"), (_number, "a number from 0 on")),
    "feed_forward_proj": (lambda value: isinstance(value, str), "a text such as gated-gelu"),
    "tie_word_embeddings": (lambda value: value is None or isinstance(value, bool), "true or false"),
}
"""What the members of config.json that a model is built from can be."""


def check_values(name: str | Path, raw: Mapping[str, Any]) -> None:
    """Raise CheckpointError for the first member of config.json whose value cannot be used."""
    for member, (fits, words) in _EXPECTED.items():
        if member in raw and not fits(raw[member]):
            raise CheckpointError(
                f"{name}: config.json says {member} {shortened(repr(raw[member]))}, expected {words}; correct the file"
            )
    rows = raw.get("vocab_size")
    for member in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
        stated = raw.get(member)
        ids = stated if isinstance(stated, list) else [stated]
        if rows is not None and any(one is not None and one >= rows for one in ids):
            raise CheckpointError(
                f"{name}: config.json says {member} {stated}, expected ids below vocab_size {rows}; correct it"
            )


def check_sizes(
    name: str | Path, raw: Mapping[str, Any], model_class: Any, shapes: Mapping[str, Sequence[int]]
) -> None:
    """Raise CheckpointError, with a tensor and both its shapes, if config.json states other sizes than the weights have.

    `shapes` has the shape of every tensor of the weights by name; it is empty if they are not known.
    """
    for member in ("num_layers", "num_decoder_layers"):
        if shapes and (raw.get(member) or 0) > len(shapes):
            raise CheckpointError(
                f"{name}: config.json says {member} {raw[member]}, but the weights have only {len(shapes)} tensors; correct it"
            )
    with torch.device("meta"):
        model = model_class(model_class.config_class.from_dict(dict(raw)))
    stated = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
    require_shapes(
        name, [(key, shapes[key], shape) for key, shape in stated.items() if shapes.get(key, shape) != shape]
    )
    asked = sum(parameter.numel() for parameter in model.parameters())
    held = sum(math.prod(shape) for shape in shapes.values())
    if shapes and asked > 2 * held + _FREE:
        raise CheckpointError(
            f"{name}: config.json describes {asked:,} parameters, but the weights have {held:,}; correct the sizes in config.json"
        )


def require_shapes(name: str | Path, misfits: Sequence[Misfit]) -> None:
    """Raise CheckpointError, with the first tensor and both its shapes, if there are any misfits."""
    if misfits:
        tensor, found, expected = misfits[0]
        others = f", and {len(misfits) - 1} more" if len(misfits) > 1 else ""
        raise CheckpointError(
            f"{name}: weights and config.json contradict each other: {tensor} is {list(found)} in the file and {list(expected)} "
            f"by config.json{others}; correct the sizes in config.json, such as vocab_size or d_model"
        )


def stated_parameters(config: Mapping[str, Any], tied: bool) -> int:
    """Return the number of parameters of the model that a config.json describes; nothing is allocated.

    `tied` says whether the head is the embedding. `config` has the number of rows of the model as `vocab_size`.
    """
    architecture = getattr(transformers, family_named(model_type_of(config)).architecture)
    settings = configuration_of({**config, "tie_word_embeddings": True}, "the teacher's config.json")
    with torch.device("meta"):
        model = architecture(settings)
    return parameter_counts(model)[0] + (0 if tied else model.get_input_embeddings().weight.numel())
