"""Load the tokenizer of a checkpoint. Its own files decide the ids, not the class that transformers picks for it.

transformers 5 builds a T5Tokenizer from the vocabulary of tokenizer.json and drops the rest of that file: normalizer,
pre-tokenizer, byte fallback, the id of <unk>. The checkpoint was trained with all of it. So we take the first of these that
the checkpoint has:

1. tokenizer.json: the `tokenizers` library runs it as it is.
2. A SentencePiece model: we convert it (sentencepiece_model.py).
3. The class ByT5Tokenizer, whose vocabulary is the bytes (byte_tokenizer.py).
4. Other vocabulary files, such as vocab.json with merges.txt: transformers' class reads them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, MiniEndError, TeacherError, in_one_line
from ..runtime.progress import quiet_transformers
from ..runtime.temporary import temporary_folder
from .byte_tokenizer import byte_pipeline
from .checkpoint_files import checkpoint_file, first_file, require_checkpoint, unread
from .sentencepiece_model import pipeline_of_model

SENTENCEPIECE_FILES = ("spiece.model", "sentencepiece.model", "tokenizer.model")
"""The names that checkpoints give a SentencePiece model, in the order in which we look for them."""
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_FILES = ("tokenizer.json", *SENTENCEPIECE_FILES, *_SETTINGS, "vocab.json", "vocab.txt", "config.json")
"""The files without which a folder does not have a tokenizer."""
ROLES = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
"""The tokens that T5's classes assume where the files do not name any."""


def load_tokenizer(name: str | Path, revision: str | None = None) -> Any:
    """Return the tokenizer of a folder, or of a hub name at a revision. Raises CheckpointError where there is not one."""
    try:
        with quiet_transformers():
            require_checkpoint(name, *_FILES)
            settings = _settings(name, revision)
            pipeline = _own_pipeline(name, revision, settings)
            tokenizer = class_tokenizer(name, revision) if pipeline is None else _run_by_file(pipeline, settings)
    except (MiniEndError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # of many layers of transformers; a panic of Rust is not an Exception
        if not Path(name).is_dir():
            raise CheckpointError(unread(name, revision, "the tokenizer", in_one_line(error))) from error
        raise CheckpointError(
            f"no tokenizer can be loaded from {name}: {in_one_line(error)}; "
            "expected a folder with a tokenizer.json or spiece.model that can be read"
        ) from error
    if len(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)) < 2:
        raise CheckpointError(
            f"no tokenizer can be loaded from {name}: transformers found no vocabulary there and made an empty one; "
            "expected a folder with tokenizer.json or spiece.model"
        )
    return tokenizer


def load_fast_tokenizer(name: str | Path, revision: str | None = None) -> Any:
    """Return the same, as tokenizers' own: what a dump needs. Raises TeacherError for another."""
    tokenizer = load_tokenizer(name, revision)
    if not getattr(tokenizer, "is_fast", False):
        raise TeacherError(
            f"expected tokenizer.json or spiece.model in {name}, found a {type(tokenizer).__name__} without them, which runs "
            "in Python only; save it as tokenizer.json first"
        )
    return tokenizer


def class_tokenizer(name: str | Path, revision: str | None = None) -> Any:
    """Return what the class makes of the files that transformers picks by itself."""
    from transformers import AutoTokenizer

    with quiet_transformers():
        return AutoTokenizer.from_pretrained(str(name), revision=revision or "main")


def sentencepiece_file(name: str | Path, revision: str | None = None) -> Path | None:
    """Return where the SentencePiece model of a checkpoint is on this machine; None if it does not have one."""
    return first_file(name, SENTENCEPIECE_FILES, revision)


def _settings(name: str | Path, revision: str | None) -> dict[str, Any]:
    """Return the JSON objects of the small files beside a vocabulary, by file name; a missing file is an empty object."""
    found = {file: checkpoint_file(name, file, revision) for file in _SETTINGS}
    settings = {file: {} if path is None else json.loads(path.read_text("utf-8")) for file, path in found.items()}
    for file, content in settings.items():
        if not isinstance(content, dict):
            raise CheckpointError(f"{name}: {file} is not a JSON object; restore the file")
    return settings


def _own_pipeline(name: str | Path, revision: str | None, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the content of the tokenizer.json that the checkpoint has, or that its other files come to; None if it is
    neither a SentencePiece model nor ByT5's bytes."""
    if path := checkpoint_file(name, "tokenizer.json", revision):
        return dict(json.loads(path.read_text("utf-8")))
    if path := sentencepiece_file(name, revision):
        return pipeline_of_model(path, settings["tokenizer_config.json"], settings["added_tokens.json"])
    config = checkpoint_file(name, "config.json", revision)
    stated = {} if config is None else json.loads(config.read_text("utf-8"))
    classes = (settings["tokenizer_config.json"].get("tokenizer_class"), stated.get("tokenizer_class"))
    return byte_pipeline() if "ByT5Tokenizer" in classes else None


def _run_by_file(pipeline: dict[str, Any], settings: Mapping[str, Any]) -> Any:
    """Return a tokenizer of transformers that runs a pipeline as it is, with the special tokens that the settings name."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    vocabulary = Tokenizer.from_str(json.dumps(pipeline)).get_vocab()
    named = settings["special_tokens_map.json"] | settings["tokenizer_config.json"]
    roles = {role: token for role, token in ROLES.items() if role not in named and token in vocabulary}
    eos = named.get("eos_token", roles.get("eos_token"))
    eos = eos.get("content") if isinstance(eos, dict) else eos
    if pipeline.get("post_processor") is None and eos in vocabulary:
        pipeline["post_processor"] = _ends_with(eos, vocabulary[eos])
    with temporary_folder() as folder:
        for file, content in (("tokenizer.json", pipeline), *settings.items()):
            if content:
                (folder / file).write_text(json.dumps(content), "utf-8")
        return PreTrainedTokenizerFast.from_pretrained(folder, **roles)


def _ends_with(eos: str, eos_id: int) -> dict[str, Any]:
    """Return the post-processor of T5's classes: EOS after a text, and after each of two."""
    one, two = (
        [{"Sequence": {"id": part, "type_id": 0}}, {"SpecialToken": {"id": eos, "type_id": 0}}] for part in "AB"
    )
    token = {"id": eos, "ids": [eos_id], "tokens": [eos]}
    return {"type": "TemplateProcessing", "single": one, "pair": one + two, "special_tokens": {eos: token}}
