"""The files of a tokenizer: which there can be, how they are read from a checkpoint, and how they are loaded again.

We carry a teacher's files over byte for byte, into the cache and into every student. A tokenizer that transformers saves anew
has the form of that version of transformers, which another version may not read. There is one exception: if the class that the
files name gives a text other ids than the files do, we name another class (`files_without_class`).
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..runtime.json_file import parse_json
from ..runtime.temporary import temporary_folder
from .checkpoint_files import checkpoint_file
from .tokenizer import ROLES, load_tokenizer

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "spiece.model",
    "sentencepiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
)
"""The names of the files that a tokenizer can consist of, as transformers writes them; nothing else goes into a student."""


def strangers(names: Iterable[str]) -> list[str]:
    """Return the names that no file of a tokenizer has."""
    return [name for name in names if name not in TOKENIZER_FILES]


def tokenizer_files(name: str | Path, revision: str | None = None) -> dict[str, bytes]:
    """Return the files of the tokenizer in a folder, or under a hub name at a revision, as they are there, by name."""
    paths = {file: checkpoint_file(name, file, revision) for file in TOKENIZER_FILES}
    return {file: path.read_bytes() for file, path in paths.items() if path is not None}


def files_without_class(files: Mapping[str, bytes], tokenizer: Any) -> dict[str, bytes]:
    """Return the files that give the ids of `tokenizer` under the class PreTrainedTokenizerFast, which runs tokenizer.json whole.

    T5Tokenizer would keep only the vocabulary of that file.
    """
    config = json.loads(files.get("tokenizer_config.json", b"{}")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    named = {role: getattr(tokenizer, role) for role in ROLES}
    config = {role: token for role, token in named.items() if token is not None} | config
    own = {
        "tokenizer.json": tokenizer.backend_tokenizer.to_str(pretty=True),
        "tokenizer_config.json": json.dumps(config, indent=2, sort_keys=True),
    }
    return dict(files) | {name: content.encode() for name, content in own.items()}


def saved_by_version_5(files: Mapping[str, bytes]) -> bool:
    """Return whether tokenizer_config.json has the form of transformers 5, in which version 4 cannot read the special tokens."""
    try:
        config = parse_json(files.get("tokenizer_config.json", b"{}"))
    except ValueError:
        return False
    return isinstance(config, dict) and isinstance(config.get("extra_special_tokens"), list)


def tokenizer_from_files(files: Mapping[str, bytes], model_type: str) -> Any:
    """Return the tokenizer of such files. Where they do not name its class, the type of the model decides it.

    Raises CheckpointError if they cannot be loaded.
    """
    with temporary_folder() as folder:
        (folder / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")
        for name, content in files.items():
            if strangers([name]):
                raise ValueError(f"expected the names of a tokenizer's files, found {name!r}")
            (folder / name).write_bytes(content)
        return load_tokenizer(folder)
