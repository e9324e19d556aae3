"""The teacher's tokenizer: loaded, checked against the teacher, described and carried as files inside a cache."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ...errors import TeacherError
from ...models.tokenizer import load_fast_tokenizer
from ...storage.documents.plan import PlannedTokenizer
from .plain_text import plain_text_encoder

SENTINEL_PREFIXES = ("▁", "")
"""mT5's pieces are called `▁<extra_id_k>`, T5's `<extra_id_k>`; of both, the former are those the model was trained on."""


class TextTokenizer:
    """A tokenizer as the dump uses it: text in, ids out, and what a plan must know about it."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.encode_batch = plain_text_encoder(tokenizer)
        """list of texts -> list of ids, without special ids."""

    @classmethod
    def load(cls, path_or_name: str | Path, revision: str | None = None) -> "TextTokenizer":
        """From a folder, or a hub name at a revision."""
        return cls(load_fast_tokenizer(path_or_name, revision))

    def check_fits(self, vocab_rows: int) -> None:
        """Raises TeacherError when a teacher with that many vocabulary rows cannot use it."""
        check_fits(self.tokenizer, vocab_rows)

    def files(self) -> dict[str, bytes]:
        """Relative path -> content, enough to load it again."""
        return tokenizer_files(self.tokenizer)

    def describe(self, sentinels: bool) -> PlannedTokenizer:
        """Return its size, the ids of its special tokens and its digest; only pairs may do without sentinels."""
        return PlannedTokenizer(
            digest=tokenizer_digest(self.tokenizer),
            size=len(self.tokenizer),
            eos_id=self.tokenizer.eos_token_id,
            pad_id=self.tokenizer.pad_token_id,
            sentinel_ids=tuple(sentinel_ids(self.tokenizer)) if sentinels else (),
        )


def check_fits(tokenizer: Any, vocab_rows: int) -> None:
    """Refuse a tokenizer that can name a row that the teacher lacks, or that has no EOS or padding."""
    if len(tokenizer) > vocab_rows:
        raise TeacherError(
            f"the tokenizer has {len(tokenizer)} entries and the teacher {vocab_rows} rows; use the teacher's own tokenizer"
        )
    for role, token_id in (("EOS", tokenizer.eos_token_id), ("padding", tokenizer.pad_token_id)):
        if token_id is None:
            raise TeacherError(f"the tokenizer names no {role} token; T5 needs one: set it in tokenizer_config.json")


def sentinel_ids(tokenizer: Any) -> list[int]:
    """The ids of <extra_id_0>, <extra_id_1>, ... for as long as the vocabulary has them; they may ascend or descend."""
    vocabulary = tokenizer.get_vocab()
    for prefix in SENTINEL_PREFIXES:
        found: list[int] = []
        while (token_id := vocabulary.get(f"{prefix}<extra_id_{len(found)}>")) is not None:
            found.append(int(token_id))
        if found:
            return found
    raise TeacherError(
        "the tokenizer has no sentinels: expected <extra_id_0>, <extra_id_1>, ... each as one id; use T5's tokenizer"
    )


def tokenizer_digest(tokenizer: Any) -> str:
    """SHA-256 of all that decides which ids a text becomes: vocabulary, scores, normalizer, added tokens."""
    described = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def tokenizer_files(tokenizer: Any) -> dict[str, bytes]:
    """Everything that `save_pretrained` writes, by relative path; the same bytes for the same tokenizer."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return files


def tokenizer_from_files(files: Mapping[str, bytes]) -> Any:
    """The tokenizer of which `tokenizer_files` gave the files."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise TeacherError(f"expected tokenizer files inside one folder, found the name {name!r}")
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return load_fast_tokenizer(folder)
