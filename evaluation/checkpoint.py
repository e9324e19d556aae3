"""The checkpoint to evaluate: model, tokenizer and a digest of both, checked against each other."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import CheckpointError
from ..models.families import family_of
from ..models.pretrained import load_pretrained, tensor_digest
from ..models.tokenizer import load_tokenizer

ENCODED_AT_ONCE = 1000
"""The number of texts per call; a tokenizer keeps about 100 bytes for every token until the call ends."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded T5-family encoder-decoder with its language-model head, on the CPU in float32. Only copies of it are trained."""

    name: str
    model: Any
    tokenizer: Any

    def digest(self) -> str:
        """Return the SHA-256 of the model's tensors by name and of the tokenizer's vocabulary."""
        digest = hashlib.sha256(json.dumps(self.tokenizer.get_vocab(), sort_keys=True).encode())
        digest.update(tensor_digest(self.model.state_dict()).encode())
        return digest.hexdigest()

    def encode(self, texts: list[str], longest: int | None = None) -> list[list[int]]:
        """Return the token ids of texts, at most `longest` each, without special ids, even if a text spells out "</s>"."""
        control = {self.tokenizer.eos_token_id, self.tokenizer.pad_token_id}
        rows: list[list[int]] = []
        for start in range(0, len(texts), ENCODED_AT_ONCE):
            part = texts[start : start + ENCODED_AT_ONCE]
            encoded = self.tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]
            rows += [[token for token in row if token not in control][:longest] for row in encoded]
        return rows


def load_checkpoint(name: str) -> Checkpoint:
    """Load a folder or hub name.

    Raises CheckpointError if the model is not a T5 or is incomplete, or if the tokenizer is missing or does not fit.
    """
    model, raw = load_pretrained(name, torch.float32)
    family = family_of(model)
    if not family.predicts:
        raise CheckpointError(
            f"{name} is an encoder without decoder ({family.architecture}); evaluate fine-tunes models with a decoder, and "
            "`miniend judge-encoder` compares an encoder with its teacher"
        )
    family.restore_head_scale(model, raw)
    return Checkpoint(name, model.eval(), _tokenizer(name, family.facts(model).vocab_rows))


def _tokenizer(name: str, rows: int) -> Any:
    tokenizer = load_tokenizer(name)
    if len(tokenizer) > rows:
        raise CheckpointError(
            f"the tokenizer of {name} has {len(tokenizer):,} entries, but the model has only {rows:,} rows; put the model's own "
            "tokenizer into its folder"
        )
    if tokenizer.eos_token_id is None or tokenizer.pad_token_id is None:
        raise CheckpointError(
            f"the tokenizer of {name} lacks an EOS or a padding token; T5 needs both, so use T5's own tokenizer"
        )
    tokenizer.padding_side = "right"
    return tokenizer
