"""Loading a checkpoint of the T5 family, as teacher or as start of a student: complete, or refused in one line."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from .errors import CheckpointError
from .progress import quiet_transformers
from .signals.t5 import ARCHITECTURES, model_type_of


def read_raw_config(name: str | Path) -> dict[str, Any]:
    """The config.json of a local folder or a hub checkpoint, as written by its author.

    Raises CheckpointError when there is none, or when it does not describe a T5-family encoder-decoder.
    """
    from transformers import PretrainedConfig

    try:
        raw, _ = PretrainedConfig.get_config_dict(str(name))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{name}: no config.json could be read ({_first_line(error)})") from error
    if not raw:
        raise CheckpointError(
            f"{name}: there is no config.json; expected a folder or hub name of a T5-family checkpoint"
        )
    model_type_of(raw)
    return dict(raw)


def load_pretrained(name: str | Path, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    """The model with its language-model head, on the CPU, and its raw config.json.

    Raises CheckpointError for anything that is not of the family, cannot be read, or lacks weights that the model needs,
    which transformers would fill with random ones.
    """
    import transformers
    from safetensors import SafetensorError

    raw = read_raw_config(name)
    model_class = getattr(transformers, ARCHITECTURES[model_type_of(raw)])
    try:
        with quiet_transformers():
            model, report = model_class.from_pretrained(str(name), dtype=dtype, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, EOFError, SafetensorError, UnpicklingError) as error:
        raise CheckpointError(f"{name} cannot be loaded: {_first_line(error)}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{name} lacks {len(missing)} of its weights ({', '.join(missing[:3])}, ...), which would be random: "
            "use a complete checkpoint"
        )
    return model, raw


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
