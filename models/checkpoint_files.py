"""Find the files of a checkpoint, in a folder or in the hub, and read what they say of its tensors."""

import re
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from ..errors import CheckpointError, in_one_line, shortened
from ..runtime.json_file import read_json
from ..runtime.there import NOT_UTF8, is_utf8, listed, not_a_model, what_is_there

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_FILE_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_SAVE = "save the model with its save_pretrained()"
_SHARDS = {
    "zero_to_fp32": "join the shards of DeepSpeed with the zero_to_fp32.py beside them",
    "global_step": "join the shards of DeepSpeed with its zero_to_fp32.py",
    "pytorch_model_fsdp": "join the shards of FSDP with `accelerate merge-weights`, or rename its one file to pytorch_model.bin",
}
"""What to do about weights as a training in many processes leaves them, by the first letters of a file's name."""
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


def require_checkpoint(name: str | Path, *files: str) -> None:
    """Raise CheckpointError, which says what is there, unless a name is that of a folder with one of these files.

    A name that nothing on this machine has, and that the hub may know, passes.
    """
    path = Path(name)
    if not is_utf8(path):
        raise CheckpointError(f"{name} cannot be read: its name is not UTF-8; {NOT_UTF8}")
    try:
        if any((path / file).is_file() for file in files):
            return
    except OSError as error:  # such as a name that is too long
        raise CheckpointError(f"{shortened(str(name), 300)} cannot be read: {error.strerror or error}") from error
    if path.exists() or path.is_symlink() or not _HUB_NAME.fullmatch(str(name)):
        raise CheckpointError(f"{name} is not a T5-family checkpoint: {not_a_model(path)}")


def unread(name: str | Path, revision: str | None, what: str, why: str) -> str:
    """Return what is wrong where a file of a checkpoint cannot be read: first of all, the folder may not be there."""
    where = f"{name} at {revision}" if revision else name
    if Path(name).is_dir():
        return f"{where}: {what} cannot be read ({why}); restore the file"
    return f"{where} is neither a folder here ({what_is_there(Path(name))}) nor a model that the hub gives ({why})"


def weight_shapes(name: str | Path, revision: str | None = None) -> dict[str, list[int]]:
    """Return the shape of every tensor in a checkpoint's files, by name, from their headers; nothing without weights.

    The first of model.safetensors, its index, pytorch_model.bin and its index counts, as for transformers. Raises
    CheckpointError for an index that cannot be used.
    """
    path = first_file(name, _WEIGHTS, revision)
    if path is None:
        return {}
    if path.suffix != ".json":
        return _shapes_in(path)
    return {key: shape for part in _parts(name, path, revision) for key, shape in _shapes_in(part).items()}


def _parts(name: str | Path, index: Path, revision: str | None) -> list[Path]:
    """Return the files that an index names."""
    try:
        named = read_json(index)["weight_map"]
        parts = sorted(set(named.values()))
        if not all(_FILE_NAME.fullmatch(part) for part in parts):
            raise ValueError("it names a file outside of the folder")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{name}: {index.name} is not an index of weights ({in_one_line(error)}); fetch it again"
        ) from error
    found = {part: checkpoint_file(name, part, revision) for part in parts}
    if missing := [part for part, path in found.items() if path is None]:
        raise CheckpointError(
            f"{name} lacks {missing[0]}, one of {len(parts)} files of weights that {index.name} names; fetch it again"
        )
    return [path for path in found.values() if path is not None]


def _shapes_in(path: Path) -> dict[str, list[int]]:
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="pt") as tensors:
            return {key: list(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
    import torch

    try:
        state: Any = torch.load(path, map_location="meta", weights_only=True)
    except UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged, or holds other objects of Python than tensors, which could run code; {_SAVE}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(one, torch.Tensor) for one in state.values()):
        raise CheckpointError(f"{path} does not hold tensors by name; save the model's state_dict()")
    return {str(key): list(tensor.shape) for key, tensor in state.items()}


def refuse_adapter(name: str | Path, revision: str | None = None) -> None:
    """Raise CheckpointError for the folder of an adapter (LoRA and others), or one with an adapter beside the model."""
    if checkpoint_file(name, "adapter_config.json", revision):
        raise CheckpointError(
            f"{name} holds an adapter (adapter_config.json), which would not be applied; merge it into its model first: "
            "peft's merge_and_unload(), then save_pretrained() into a new folder"
        )


def require_weights(name: str | Path, revision: str | None = None) -> None:
    """Raise CheckpointError, which says what is there, if a checkpoint lacks weights, or has them in another form."""
    if first_file(name, _WEIGHTS, revision):
        return
    for file, framework in _OTHER_FRAMEWORKS.items():
        if checkpoint_file(name, file, revision):
            raise CheckpointError(
                f"{name} has only {file}, which transformers 5 does not read; expected model.safetensors. Convert it with "
                f"transformers 4: T5ForConditionalGeneration.from_pretrained(..., from_{framework}=True), then save_pretrained"
            )
    if Path(name).is_dir():
        names = sorted(one.name for one in Path(name).iterdir())
        advice = next((words for begin, words in _SHARDS.items() if any(one.startswith(begin) for one in names)), _SAVE)
        raise CheckpointError(f"{name} does not have weights ({_WEIGHTS[0]}): it holds {listed(names)}; {advice}")
