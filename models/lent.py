"""Models in memory where a folder is expected: a folder with everything except the weights, which stay where they are.

`lent` gives the folder. All that reads a checkpoint's files reads this folder as any other; only `load_pretrained` asks whether
the weights are in memory. So no gigabytes are written, and a model from a folder has the digest that the folder has.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, ConfigurationError
from ..runtime.progress import quiet_transformers
from ..runtime.temporary import temporary_folder
from .families import FAMILIES, family_of
from .tokenizer_files import TOKENIZER_FILES, tokenizer_files

CONFIG, GENERATION = "config.json", "generation_config.json"
UNNAMED = "model"
"""The name of a model that was not loaded from anywhere."""
WITHOUT_MEANING = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures", "use_cache")
"""Members of a configuration that do not decide what a model computes."""


@dataclass(frozen=True, slots=True)
class _Lent:
    """A model in memory."""

    model: Any
    name: str
    """The folder or hub name that it came from."""


_lent: dict[str, _Lent] = {}
"""Folder -> the model whose weights it lacks."""


@contextmanager
def lent(model: Any, tokenizer: Any = None) -> Iterator[Path]:
    """Give a folder that stands for a model of transformers, and for its tokenizer, inside the block.

    The model is neither changed nor copied. Without a tokenizer we take the one of the folder or hub name that the model came
    from, if it has one. Raises CheckpointError for an object that is not a T5-family model.
    """
    if type(model).__name__ not in [family.architecture for family in FAMILIES.values()]:
        raise CheckpointError(
            f"expected a T5ForConditionalGeneration, MT5ForConditionalGeneration or UMT5ForConditionalGeneration, or an encoder "
            f"such as T5EncoderModel, found a {type(model).__name__}; name a folder or a hub name, or load the model with its "
            "language-model head"
        )
    origin = str(getattr(model, "name_or_path", "") or "")
    name = origin or UNNAMED
    with temporary_folder() as temporary:
        folder = temporary / (Path(name).name or UNNAMED)
        folder.mkdir()
        for file, content in _small_files(model, origin, tokenizer, temporary / "tokenizer").items():
            (folder / file).write_bytes(content)
        _lent[str(folder)] = _Lent(model, name)
        try:
            yield folder
        finally:
            del _lent[str(folder)]


def lent_model(name: str | Path) -> Any:
    """Return the model in memory that a folder stands for; None for any other name."""
    found = _lent.get(str(name))
    return found.model if found else None


def true_name(name: str | Path) -> str:
    """Return the name to keep in a record: of a model in memory, where it came from."""
    found = _lent.get(str(name))
    return found.name if found else str(name)


def _known(origin: str) -> str:
    """Return the folder or hub name of something in memory. Raises CheckpointError for what was not loaded from anywhere."""
    if not origin:
        raise CheckpointError("it was not loaded from anywhere")
    return origin


def is_tokenizer(value: Any) -> bool:
    """Return whether this is a tokenizer of transformers."""
    return hasattr(value, "get_vocab") and hasattr(value, "save_pretrained")


def _small_files(model: Any, origin: str, tokenizer: Any, aside: Path) -> dict[str, bytes]:
    files = {CONFIG: _config(model, origin), **_tokenizer_files(origin, tokenizer, aside)}
    if model.can_generate():
        files[GENERATION] = model.generation_config.to_json_string(use_diff=False).encode()
    return files


def _config(model: Any, origin: str) -> bytes:
    """Return the config.json of the place that a model came from, if the model still is as it says; else the model's own."""
    with suppress(Exception):  # the place may not exist any more
        from .pretrained import read_raw_config

        raw = read_raw_config(_known(origin))
        if config_meaning(raw) == config_meaning(model.config.to_dict()):
            return json.dumps(raw).encode()
    family = family_of(model)
    stated = model.config.to_dict() | family.saved_settings(model)
    stated |= {"model_type": family.model_type, "architectures": [family.architecture]}
    return json.dumps(stated, default=str).encode()


def config_meaning(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a config.json that decide what its model computes, with the defaults left out.

    Two files can say the same in different words: an author leaves out what transformers writes down. What is said of the tie
    and the scale of the head does not count, because the weights decide the one, and the facts of a teacher hold both.
    """
    import transformers

    model_type = str(config.get("model_type"))
    if model_type not in FAMILIES:
        return dict(config)
    model_class: Any = getattr(transformers, FAMILIES[model_type].architecture)
    ignored = {*WITHOUT_MEANING, "tie_word_embeddings", "scale_decoder_outputs"}
    known = {key: value for key, value in config.items() if key not in ignored}
    try:
        meant = model_class.config_class.from_dict(known).to_diff_dict()
    except Exception:  # a damaged plan may hold what transformers refuses; that differs from all that it takes
        return known
    return {key: value for key, value in meant.items() if key not in ignored and value is not None}


def _tokenizer_files(origin: str, tokenizer: Any, aside: Path) -> dict[str, bytes]:
    """Return the files of the tokenizer, byte for byte as they are where it came from, if they still give its vocabulary."""
    if tokenizer is None:
        with suppress(Exception):
            return tokenizer_files(_known(origin))
        return {}
    if not is_tokenizer(tokenizer):
        raise ConfigurationError(
            f"tokenizer: expected a tokenizer of transformers, found a {type(tokenizer).__name__}; load it with AutoTokenizer"
        )
    with suppress(Exception):  # the place may not exist any more
        from .tokenizer import load_tokenizer

        source = _known(str(tokenizer.name_or_path))
        if load_tokenizer(source).get_vocab() == tokenizer.get_vocab():
            return tokenizer_files(source)
    with quiet_transformers():
        tokenizer.save_pretrained(aside)
    return {path.name: path.read_bytes() for path in aside.iterdir() if path.name in TOKENIZER_FILES}
