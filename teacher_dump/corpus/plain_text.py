"""Turn text into ids: of the web as plain text, never into special ids; of pairs as the teacher's tokenizer does.

A page that contains "</s>" or "<extra_id_0>" must not yield the ids of EOS or a sentinel. `split_special_tokens=True` does
not achieve that for T5. It only skips the search for added tokens that are marked as special. The model then finds the same
strings as pieces of its vocabulary. SentencePiece never matches its control pieces, so neither do we. The encoder works on a
copy of the tokenizer in which each special piece has another name, which text does not contain, and each special token is
marked as such. All ids stay the same, and so does the encoding of every other text.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ...errors import TeacherError, in_one_line, shortened

Token = tuple[int, int, int]
"""An id, and the characters of the text that it stands for: the first, and one past the last."""


class EncodeBatch(Protocol):
    """Turns text into ids."""

    def __call__(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of each text."""

    def tokens(self, text: str) -> list[Token]:
        """Return the ids of one text, in order, with their places in it."""


UNMATCHABLE = " \uffff"
"""The text before each special piece.

Most pre-tokenizers remove all spaces from what a model sees. For the others there is U+FFFF, which Unicode says is never a
character. Where a text has it all the same, the encoder reads U+FFFD instead.
"""


class BackendEncoder:
    """Runs a backend of the `tokenizers` library, without special tokens, truncation or padding."""

    def __init__(self, backend: Any, replaced: str = "") -> None:
        self._backend, self._replaced = backend, replaced

    def __call__(self, texts: list[str]) -> list[list[int]]:
        found = self._backend.encode_batch_fast([self._read(text) for text in texts], add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def tokens(self, text: str) -> list[Token]:
        """Return the ids of one text, in order, with their places in it."""
        found = self._backend.encode(self._read(text), add_special_tokens=False)
        return [(i, *place) for i, place in zip(found.ids, found.offsets, strict=True)]

    def _read(self, text: str) -> str:
        return text.replace(self._replaced, "\ufffd") if self._replaced else text


def plain_text_encoder(tokenizer: Any) -> EncodeBatch:
    """Return an encoder from texts to ids, without special tokens, truncation or padding.

    Special ids never come from text, except <unk> for characters that the vocabulary lacks. The encoder runs the
    `tokenizers` backend itself. It uses threads and ignores `model_max_length`, so that transformers' warning about long
    sequences does not appear. Raises TeacherError if special ids cannot be kept out of text.
    """
    special = special_tokens(tokenizer)
    encode = BackendEncoder(_with_unmatchable(tokenizer, special), replaced="\uffff")
    _check_plain(encode, special, unknown_id(tokenizer))
    return encode


def unknown_id(tokenizer: Any) -> int | None:
    """Return the id that the model itself gives to characters which the vocabulary lacks; None if it does not have one."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    if "unk_id" in model:
        return None if model["unk_id"] is None else int(model["unk_id"])
    found = model["vocab"].get(model.get("unk_token"))
    return None if found is None else int(found)


def whole_encoder(tokenizer: Any) -> EncodeBatch:
    """Return an encoder from texts to the ids that the tokenizer itself gives, special tokens in the text included.

    It does not truncate, pad, or add special tokens.
    """
    from tokenizers import Tokenizer

    described = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
    return BackendEncoder(Tokenizer.from_str(json.dumps(described)))


def special_tokens(tokenizer: Any) -> dict[str, int]:
    """Return the ids, by piece, that text must not yield: special tokens and sentinels, added or part of the model."""
    added = {token.content: token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
    vocabulary = tokenizer.get_vocab()
    forbidden = {*added.values(), *tokenizer.all_special_ids, *_sentinels_of_any_spelling(vocabulary)}
    return added | {text: token_id for text, token_id in vocabulary.items() if token_id in forbidden}


def _sentinels_of_any_spelling(vocabulary: Mapping[str, int]) -> Iterable[int]:
    return (
        i for text, i in vocabulary.items() if text.removeprefix("▁").startswith("<extra_id_") and text.endswith(">")
    )


def _with_unmatchable(tokenizer: Any, special: Mapping[str, int]) -> Any:
    """Return a copy of the backend in which the special pieces cannot match any text; all ids stay the same."""
    from tokenizers import Tokenizer

    described = json.loads(tokenizer.backend_tokenizer.to_str())
    described["model"] |= _renamed_model(described["model"], special)
    for token in described["added_tokens"]:
        if token["content"] in special:
            # a normalizer may take the new name away again, so the token is marked as special too
            token |= {"content": UNMATCHABLE + token["content"], "special": True}
    described |= {"truncation": None, "padding": None}
    try:
        backend = Tokenizer.from_str(json.dumps(described))
    except Exception as error:
        raise TeacherError(
            f"this kind of tokenizer cannot be prevented from reading special tokens out of text: {in_one_line(error)}; use "
            "T5's tokenizer"
        ) from error
    backend.encode_special_tokens = True
    return backend


def _renamed_model(model: Mapping[str, Any], special: Mapping[str, int]) -> dict[str, Any]:
    """Return the members of a model that name a special piece, with the new names; merges that make one are left out."""

    def renamed(text: str) -> str:
        return UNMATCHABLE + text if text in special else text

    if not isinstance(model["vocab"], dict):
        return {"vocab": [[renamed(text), score] for text, score in model["vocab"]]}
    changed: dict[str, Any] = {"vocab": {renamed(text): token_id for text, token_id in model["vocab"].items()}}
    if model.get("unk_token") is not None:
        changed["unk_token"] = renamed(model["unk_token"])
    if "merges" in model:
        inside = model.get("continuing_subword_prefix") or ""
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
        changed["merges"] = [
            [left, right]
            for left, right in pairs
            if special.keys().isdisjoint((left, right, left + right.removeprefix(inside)))
        ]
    return changed


def _check_plain(encode: EncodeBatch, special: Mapping[str, int], unk_id: int | None) -> None:
    """Raise TeacherError if one of the special strings, as spelled or as renamed, yields a special id."""
    spellings = [form for text in special for form in (text, UNMATCHABLE + text, f"a{text}b {text}")]
    forbidden = set(special.values()) - {unk_id}
    for text, ids in zip(spellings, encode(spellings), strict=True):
        if forbidden.intersection(ids):
            raise TeacherError(
                f"the tokenizer turns the plain text {shortened(repr(text))} into a special id; use the teacher's own tokenizer"
            )
