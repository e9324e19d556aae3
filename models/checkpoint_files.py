"""Find the files of a checkpoint, in a folder or in the hub."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import CheckpointError

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_OTHER_FRAMEWORKS = {"flax_model.msgpack": "flax", "flax_model.msgpack.index.json": "flax", "tf_model.h5": "tf"}


def checkpoint_file(name: str | Path, file: str, revision: str | None = None) -> Path | None:
    """Return where a file of a folder or hub checkpoint is on this machine; None if the checkpoint does not have it."""
    from transformers.utils import cached_file

    if Path(name).is_dir():
        return Path(name, file) if Path(name, file).is_file() else None
    found = cached_file(str(name), file, revision=revision or "main", _raise_exceptions_for_missing_entries=False)
    return None if found is None else Path(found)


def first_file(name: str | Path, files: Sequence[str], revision: str | None = None) -> Path | None:
    """Return where the first of these files is that the checkpoint has; None if it does not have any."""
    return next(filter(None, (checkpoint_file(name, file, revision) for file in files)), None)


def refuse_adapter(name: str | Path, revision: str | None = None) -> None:
    """Raise CheckpointError for the folder of an adapter (LoRA and others), or one with an adapter beside the model."""
    if checkpoint_file(name, "adapter_config.json", revision):
        raise CheckpointError(
            f"{name} holds an adapter (adapter_config.json), which would not be applied; merge it into its model first: "
            "peft's merge_and_unload(), then save_pretrained() into a new folder"
        )


def refuse_other_frameworks(name: str | Path, revision: str | None = None) -> None:
    """Raise CheckpointError if a checkpoint has weights only for a framework that transformers 5 cannot read."""
    if first_file(name, _WEIGHTS, revision):
        return
    for file, framework in _OTHER_FRAMEWORKS.items():
        if checkpoint_file(name, file, revision):
            raise CheckpointError(
                f"{name} has only {file}, which transformers 5 does not read; expected model.safetensors. Convert it with "
                f"transformers 4: T5ForConditionalGeneration.from_pretrained(..., from_{framework}=True), then save_pretrained"
            )
