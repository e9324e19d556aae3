"""Load a checkpoint of the T5 family, as teacher or as start of a student, or refuse it in one line."""

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError, ConfigurationError, in_one_line, shortened
from ..runtime.durable import is_there
from ..runtime.hub import commit_of
from ..runtime.progress import quiet_transformers, waiting
from .checkpoint_files import refuse_adapter, require_checkpoint, require_weights, unread, weight_shapes
from .families import encoder_of, family_named, model_type_of
from .generation import allow_generation
from .lent import lent_model
from .loaded_weights import check_finite, check_one_embedding, check_untied, check_weights
from .stated_sizes import check_sizes, check_values


def pin_revision(name: str, revision: str | None, known: str | None = None) -> str | None:
    """Return the commit of a hub checkpoint's revision (the newest one unless given); None for a local folder.

    `known` is the commit of this checkpoint when the work began; see `runtime/hub.py`. We ask the hub, then its local cache. If
    neither knows the commit, the revision is returned as it is. All files of one checkpoint are loaded at the returned
    revision. Raises ConfigurationError for a revision of a local folder.
    """
    from huggingface_hub import try_to_load_from_cache

    if is_there(Path(name)):
        if revision is not None:
            raise ConfigurationError(
                f"a local folder does not have revisions: {name} was asked for at {revision!r}; leave --teacher-revision out"
            )
        return None
    if commit := commit_of("model", name, revision, known if revision is None else None):
        return commit
    with contextlib.suppress(Exception):
        cached = try_to_load_from_cache(name, "config.json", revision=revision)
        return Path(cached).parent.name if isinstance(cached, str) else revision or known
    return revision or known


def read_raw_config(name: str | Path, revision: str | None = None) -> dict[str, Any]:
    """Return the config.json of a local folder or a hub checkpoint, as its author wrote it.

    Raises CheckpointError if it cannot be read, does not describe a T5-family encoder-decoder, or comes with an adapter or
    with quantized weights.
    """
    from transformers import PretrainedConfig

    require_checkpoint(name, "config.json", "adapter_config.json")
    try:
        refuse_adapter(name, revision)
        raw, _ = PretrainedConfig.get_config_dict(str(name), revision=revision or "main")
    except CheckpointError:
        raise
    except Exception as error:  # of many layers of transformers, for whatever a stranger's file holds
        raise CheckpointError(unread(name, revision, "config.json", in_one_line(error))) from error
    if not raw or not isinstance(raw, dict):
        raise CheckpointError(unread(name, revision, "config.json", "expected a JSON object with members"))
    model_type_of(raw)
    check_values(name, raw)
    if raw.get("quantization_config"):
        raise CheckpointError(
            f"{name}: its weights are quantized (quantization_config in config.json); use the checkpoint that it was made from, "
            "or load it with transformers, call dequantize() and save_pretrained()"
        )
    return dict(raw)


def load_pretrained(
    name: str | Path, dtype: torch.dtype, revision: str | None = None, encoder_only: bool = False
) -> tuple[Any, dict[str, Any]]:
    """Return the model on the CPU, and its raw config.json, of a full model with the start id of its decoder.

    A full model has its language-model head. With `encoder_only` the model is only the checkpoint's encoder, whatever else the
    checkpoint holds. `revision` is for hub checkpoints. The tensors of a model in memory (`lent.py`) are its own where the
    dtype is the same: do not change them in place. Raises CheckpointError if the checkpoint is of another family, cannot be
    read, or does not hold exactly the weights that the model uses.
    """
    import transformers

    raw = read_raw_config(name, revision)
    if encoder_only:
        raw = encoder_of(raw)
    family = family_named(model_type_of(raw))
    model_class: Any = getattr(transformers, family.architecture)
    in_memory = lent_model(name)
    try:
        if in_memory is None:
            with waiting(f"{'opening' if Path(name).exists() else 'fetching'} the weights of {_shown(name)}"):
                require_weights(name, revision)
                shapes = weight_shapes(name, revision)
        else:
            shapes = {key: list(tensor.shape) for key, tensor in in_memory.state_dict().items()}
        shapes = {key: shape for key, shape in shapes.items() if family.holds(key)}
        with quiet_transformers(), waiting(f"loading {_shown(name)}"):
            check_sizes(name, raw, model_class, shapes)
            loading = {
                "dtype": dtype,
                "output_loading_info": True,
                "ignore_mismatched_sizes": True,  # so that the report has the shapes
            }
            if in_memory is None:
                model, report = model_class.from_pretrained(str(name), revision=revision or "main", **loading)
            else:
                model, report = _from_memory(model_class, name, in_memory, loading)
            check_weights(name, model, report)
            check_finite(name, model)
            check_untied(name, model, raw, shapes)
            check_one_embedding(name, model, raw)
    except CheckpointError:
        raise
    except Exception as error:  # the same
        raise CheckpointError(f"{name} cannot be loaded: {in_one_line(error)}") from error
    if not family.predicts:
        return model, raw
    allow_generation(model)
    model.config.decoder_start_token_id = _start_id(name, model, raw)
    return model, raw | {"decoder_start_token_id": model.config.decoder_start_token_id}


def _from_memory(model_class: Any, name: str | Path, model: Any, loading: Mapping[str, Any]) -> Any:
    """Return what `from_pretrained` returns for the small files in a folder and the weights of a model."""
    from transformers import GenerationConfig

    state = {key: tensor.detach().cpu() for key, tensor in model.state_dict().items()}
    config = model_class.config_class.from_pretrained(name)
    loaded, report = model_class.from_pretrained(None, config=config, state_dict=state, **loading)
    if loaded.can_generate():
        loaded.generation_config = GenerationConfig.from_pretrained(name)
    return loaded, report


def _shown(name: str | Path) -> str:
    """Return the last part of a path, or a hub name as it is."""
    return Path(name).name if Path(name).exists() else str(name)


def _start_id(name: str | Path, model: Any, raw_config: Mapping[str, Any]) -> int:
    """Return the first id that the decoder is given: of config.json, else of generation_config.json, else the padding id."""
    stated = (
        raw_config.get("decoder_start_token_id"),
        getattr(model.generation_config, "decoder_start_token_id", None),
    )
    found = next((i for i in (*stated, model.config.pad_token_id) if i is not None), 0)
    if type(found) is not int or not 0 <= found < model.config.vocab_size:
        raise CheckpointError(
            f"{name}: the decoder's first token is {shortened(repr(found))}, expected an id below vocab_size "
            f"{model.config.vocab_size}; correct decoder_start_token_id in config.json or generation_config.json"
        )
    return found


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over name, dtype, shape and bytes of every tensor, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
