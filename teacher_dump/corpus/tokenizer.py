"""The teacher's tokenizer: load it with its files, check that it fits the teacher, and describe it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import TeacherError
from ...models.tokenizer import load_fast_tokenizer
from ...models.tokenizer_files import files_without_class, tokenizer_files
from ...storage.documents.plan import PlannedTokenizer
from .plain_text import EncodeBatch, plain_text_encoder, unknown_id, whole_encoder

SENTINEL_PREFIXES = ("▁", "")
"""The prefixes of sentinels: mT5's pieces are called `▁<extra_id_k>`, T5's `<extra_id_k>`.

If a vocabulary has both, the model was trained on the former.
"""


class TextTokenizer:
    """A tokenizer as the dump uses it: it turns text into ids and describes itself for a plan."""

    def __init__(self, tokenizer: Any, files: Mapping[str, bytes]) -> None:
        self.tokenizer = tokenizer
        self.files = files
        """The files for cache and students, by name: those that it was loaded from, byte for byte."""

    def encoder(self, pairs: bool = False) -> EncodeBatch:
        """Return the function from a list of texts to their ids: of pairs with special ids, of any other text without.

        Raises TeacherError if special ids cannot be kept out of text.
        """
        return whole_encoder(self.tokenizer) if pairs else plain_text_encoder(self.tokenizer)

    @property
    def unknown_id(self) -> int | None:
        """The id of characters that the vocabulary lacks; None if it can write all of them, or another token has this id."""
        found = unknown_id(self.tokenizer)
        return None if found in (self.tokenizer.eos_token_id, self.tokenizer.pad_token_id) else found

    @classmethod
    def load(cls, path_or_name: str | Path, revision: str | None = None) -> "TextTokenizer":
        """Load a tokenizer from a folder, or from a hub name at a revision."""
        return cls(load_fast_tokenizer(path_or_name, revision), tokenizer_files(path_or_name, revision))

    def run_by_its_file(self) -> "TextTokenizer":
        """Return the same with files that transformers runs as they are, for a teacher whose class reads them in its own way."""
        return TextTokenizer(self.tokenizer, files_without_class(self.files, self.tokenizer))

    def check_fits(self, vocab_rows: int) -> None:
        """Raise TeacherError if a teacher with that many vocabulary rows cannot use it."""
        check_fits(self.tokenizer, vocab_rows)

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
    """Raise TeacherError for a tokenizer with an id that the teacher does not have a row for, or without EOS or padding."""
    if len(tokenizer) > vocab_rows:
        raise TeacherError(
            f"the tokenizer has {len(tokenizer):,} entries, but the teacher only {vocab_rows:,} rows; "
            "use the teacher's own tokenizer"
        )
    for role, token_id in (("EOS", tokenizer.eos_token_id), ("padding", tokenizer.pad_token_id)):
        if token_id is None:
            raise TeacherError(
                f"the tokenizer does not name the {role} token that T5 needs: set it in tokenizer_config.json"
            )


def sentinel_ids(tokenizer: Any) -> list[int]:
    """Return the ids of <extra_id_0>, <extra_id_1>, ... as far as the vocabulary has them; they may ascend or descend.

    Raises TeacherError if it does not have the first.
    """
    vocabulary = tokenizer.get_vocab()
    for prefix in SENTINEL_PREFIXES:
        ids: list[int] = []
        while (token_id := vocabulary.get(f"{prefix}<extra_id_{len(ids)}>")) is not None:
            ids.append(int(token_id))
        if ids:
            return ids
    raise TeacherError(
        "expected a tokenizer with the sentinels <extra_id_0>, <extra_id_1>, ... each as one id, found none; "
        "use T5's tokenizer"
    )


def tokenizer_digest(tokenizer: Any) -> str:
    """Return the SHA-256 of everything that decides the ids of a text: vocabulary, scores, normalizer, added tokens."""
    described = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
