"""Compare what a checkpoint holds with what the model uses, name by name, and refuse a difference that changes the model.

transformers fills what is missing with random numbers, and leaves out what the model does not use. Both give a model that
answers, only not the one that its author trained.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from .checkpoint_files import weight_shapes
from .families import family_of
from .stated_sizes import require_shapes

_SHOWN = 3
"""The largest number of tensors that a message names."""


def check_weights(name: str | Path, model: Any, report: Mapping[str, Any]) -> None:
    """Raise CheckpointError, with names of tensors, unless the model uses exactly the weights of its checkpoint.

    `report` is what `from_pretrained` returns with `output_loading_info`. It leaves out the position bias of cross-attention in
    T5's first checkpoints, which no version uses.
    """
    require_shapes(name, sorted(report["mismatched_keys"]))
    missing, unused = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    if prefix := _prefix(unused, model):
        raise CheckpointError(
            f"{name}: the names of its weights start with {prefix!r} ({unused[0]}), as in a model that was saved inside of "
            "another object; save the inner model with its save_pretrained"
        )
    if missing:
        raise CheckpointError(
            f"{name} lacks {len(missing)} of its weights ({_some(missing)}), which would be random: "
            "use a complete checkpoint, or correct the sizes in config.json"
        )
    if unused:
        raise CheckpointError(
            f"{name} holds {len(unused)} tensors that a {type(model).__name__} with its config.json does not use "
            f"({_some(unused)}): correct the sizes in config.json, or use the checkpoint of a model without them"
        )


def check_own_head(name: str | Path, model: Any, raw_config: Mapping[str, Any], revision: str | None) -> None:
    """Raise CheckpointError if config.json unties the head, and the checkpoint does not have a head of its own."""
    family = family_of(model)
    if raw_config.get("tie_word_embeddings") is not False or not family.tied(model):
        return
    if family.head_parameter not in weight_shapes(name, revision):
        raise CheckpointError(
            f"{name}: config.json says that the head is not tied to the embedding, but the weights do not have "
            f"{family.head_parameter}; use a complete checkpoint, or correct tie_word_embeddings in config.json"
        )


def _prefix(unused: Sequence[str], model: Any) -> str:
    """Return the text before the model's own names in all of these names; an empty text if that is not so."""
    first = unused[0] if unused else ""
    prefixes = {first.removesuffix(own) for own in model.state_dict() if first.endswith("." + own)}
    return next((prefix for prefix in sorted(prefixes) if all(key.startswith(prefix) for key in unused)), "")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
