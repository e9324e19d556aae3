"""Compare what a checkpoint holds with what the model uses, name by name, and refuse a difference that changes the model.

transformers fills what is missing with random numbers, and leaves out what the model does not use. Both give a model that
answers, only not the one that its author trained.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError
from .families import family_of, written_before_5
from .stated_sizes import require_shapes

_SHOWN = 3
"""The largest number of tensors that a message names."""


def check_weights(name: str | Path, model: Any, report: Mapping[str, Any]) -> None:
    """Raise CheckpointError, with names of tensors, unless the model uses exactly the weights of its checkpoint.

    `report` is what `from_pretrained` returns with `output_loading_info`. It leaves out the position bias of cross-attention in
    T5's first checkpoints, which no version uses.
    """
    require_shapes(name, sorted(report["mismatched_keys"]))
    missing, unused = sorted(report["missing_keys"]), sorted(filter(family_of(model).holds, report["unexpected_keys"]))
    if prefix := _prefix(unused, model):
        raise CheckpointError(
            f"{name}: the names of its weights start with {prefix!r} ({unused[0]}), as in a model that was saved inside of "
            "another object; save the inner model with its save_pretrained"
        )
    if missing:
        raise CheckpointError(
            f"{name} lacks {len(missing):,} of its weights ({_some(missing)}), which would be random: "
            "use a complete checkpoint, or correct the sizes in config.json"
        )
    if unused:
        raise CheckpointError(
            f"{name} holds {len(unused)} tensors that a {type(model).__name__} with its config.json does not use "
            f"({_some(unused)}): correct the sizes in config.json, or use the checkpoint of a model without them"
        )


def check_finite(name: str | Path, model: Any) -> None:
    """Raise CheckpointError, with names of tensors, for weights that are infinite or not numbers."""
    # A finite sum proves that every element is finite, and costs a tenth of looking at each.
    broken = [
        key
        for key, tensor in model.named_parameters()
        if not bool(tensor.sum(dtype=torch.float32).isfinite()) and not bool(tensor.isfinite().all())
    ]
    if broken:
        raise CheckpointError(
            f"{name} holds weights that are infinite or not numbers ({_some(broken)}): its training diverged or overflowed in "
            "float16, or the file is damaged; use an earlier checkpoint, or fetch it again"
        )


def check_untied(name: str | Path, model: Any, raw_config: Mapping[str, Any], shapes: Collection[str]) -> None:
    """Raise CheckpointError if config.json unties the head, and the checkpoint lacks the head or the embedding.

    `shapes` has the names of the checkpoint's tensors. transformers takes one of the two for the other if that is missing.
    """
    family = family_of(model)
    if not family.predicts or raw_config.get("tie_word_embeddings") is not False:
        return
    if family.tied(model) and family.head_parameter not in shapes:
        missing = family.head_parameter
    elif not any(one in shapes for one in family.embedding_parameters):
        missing = family.embedding_parameters[0]
    else:
        return
    raise CheckpointError(
        f"{name}: config.json says that the head is not tied to the embedding, but the weights do not have {missing}; use a "
        "complete checkpoint, or correct tie_word_embeddings in config.json"
    )


def check_one_embedding(name: str | Path, model: Any, raw_config: Mapping[str, Any]) -> None:
    """Raise CheckpointError unless the model has one input embedding, which all stacks use and the head as stated.

    transformers keeps copies that differ. The student would have one embedding.
    """
    family, state = family_of(model), model.state_dict()
    usual, *others = family.embedding_parameters
    for other in others:
        if not torch.equal(state[other], state[usual]):
            raise CheckpointError(
                f"{name} holds two input embeddings: {other} differs from {usual}. A {type(model).__name__} has one; save it "
                "with tied weights, or use the checkpoint that it was made from"
            )
    head = family.head_parameter
    if not family.predicts:
        return
    if written_before_5(raw_config) and raw_config.get("tie_word_embeddings") is not False and not family.tied(model):
        raise CheckpointError(
            f"{name}: config.json ties the head to the embedding, but {head} differs from {usual}; set tie_word_embeddings to "
            f"false in config.json if the head was trained apart, else remove {head}"
        )


def _prefix(unused: Sequence[str], model: Any) -> str:
    """Return the text before the model's own names in all of these names; an empty text if that is not so."""
    first = unused[0] if unused else ""
    prefixes = {first.removesuffix(own) for own in model.state_dict() if first.endswith("." + own)}
    return next((prefix for prefix in sorted(prefixes) if all(key.startswith(prefix) for key in unused)), "")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
