"""Family facts of T5, T5 v1.1 / Flan-T5, mT5 and umT5, and what transformers hides about them.

Three facts cannot be read off a loaded transformers model, because from version 5 its configuration classes overwrite
`tie_word_embeddings` with true:

- *tied or not* is decided by the tensors: after loading, an untied head is another parameter than the embedding;
- *the head scale*: tied T5 multiplies the decoder output by d_model^-1/2 before the head (mesh-tensorflow transformer.py),
  v1.1 and mT5 do not. transformers' umT5 always does, which flattens the logits of the released untied umT5 checkpoints;
- *a fresh model is always tied*: a student of an untied teacher gets its own head by `untie_head`.

The config.json of the checkpoint (`raw_config` below) still says what its author meant, so that is what is read here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...errors import CheckpointError

ARCHITECTURES = {
    "t5": "T5ForConditionalGeneration",
    "mt5": "MT5ForConditionalGeneration",
    "umt5": "UMT5ForConditionalGeneration",
}
"""model_type -> the class of transformers that carries the language-model head."""


@dataclass(frozen=True, kw_only=True, slots=True)
class T5Facts:
    """The shape of one encoder-decoder of the family, as losses and caches need it."""

    model_type: str
    encoder_layers: int
    decoder_layers: int
    d_model: int
    heads: int
    d_kv: int
    vocab_rows: int
    """Rows of the output head; may exceed the tokenizer's entries (T5: 32,128 rows, 32,100 pieces)."""
    tied: bool
    head_scale: float
    """Factor on the decoder output before the head: d_model^-1/2 or 1."""

    @property
    def inner(self) -> int:
        """Width of Q, K and V: heads x d_kv, which need not equal d_model (T5-3B: 4096 and 1024)."""
        return self.heads * self.d_kv


def model_type_of(raw_config: Mapping[str, Any]) -> str:
    """The family member that a config.json describes; falls back to `architectures[0]` where `model_type` is missing.

    Raises CheckpointError, naming what was found, for anything that is not T5, mT5 or umT5.
    """
    named = raw_config.get("model_type")
    if named in ARCHITECTURES:
        return str(named)
    architecture = (raw_config.get("architectures") or [""])[0]
    prefixes = {name.removesuffix("ForConditionalGeneration"): kind for kind, name in ARCHITECTURES.items()}
    prefix = architecture.removesuffix("ForConditionalGeneration").removesuffix("WithLMHeadModel").removesuffix("Model")
    if not named and prefix in prefixes:
        return prefixes[prefix]
    raise CheckpointError(
        f"not a T5-family encoder-decoder: config.json names model_type {named!r}, architecture {architecture!r}; "
        f"supported are {', '.join(ARCHITECTURES)} (T5 v1.1 and Flan-T5 are of type t5)"
    )


def scales_decoder_output(raw_config: Mapping[str, Any]) -> bool:
    """Whether the decoder output is multiplied by d_model^-1/2 before the head, by the checkpoint's own config.json."""
    if model_type_of(raw_config) == "mt5":
        return False
    explicit = raw_config.get("scale_decoder_outputs")
    return bool(explicit) if explicit is not None else raw_config.get("tie_word_embeddings") is not False


def is_tied(model: Any) -> bool:
    """Whether the output head is the input embedding (the same parameter)."""
    return model.lm_head.weight is model.shared.weight


def parameter_counts(model: Any) -> tuple[int, int]:
    """(all, without embeddings), which are the input embedding and an untied head; shared parameters count once."""
    total = sum(parameter.numel() for parameter in model.parameters())
    embeddings = model.shared.weight.numel() + (0 if is_tied(model) else model.lm_head.weight.numel())
    return total, total - embeddings


def head_scale(model: Any) -> float:
    """The factor that this model's forward applies to the decoder output before the head."""
    config = model.config
    if config.model_type == "mt5":
        return 1.0
    scaled = config.scale_decoder_outputs if config.model_type == "t5" else config.tie_word_embeddings
    return float(config.d_model**-0.5) if scaled else 1.0


def restore_head_scale(model: Any, raw_config: Mapping[str, Any]) -> None:
    """Make a freshly loaded umT5 scale its decoder output as its config.json says, not as transformers 5 forces it to.

    transformers' UMT5 forward scales when `config.tie_word_embeddings` is true, and its config class sets that to true on
    every load. T5 and mT5 load right and are left alone.
    """
    config = model.config
    if config.model_type == "umt5":
        config.tie_word_embeddings = scales_decoder_output(raw_config)


def untie_head(model: Any) -> None:
    """Give a fresh (hence tied) model an output head of its own, drawn from N(0, 1/d_model).

    With the final RMSNorm's output of norm sqrt(d_model), logits start with standard deviation 1 (or d_model^-1/2 where
    the family scales), so the initial cross-entropy is within a nat of ln V.
    """
    rows, width = model.shared.weight.shape
    model.lm_head.weight = nn.Parameter(torch.randn(rows, width) * width**-0.5)


def shrink_tied_embedding(model: Any) -> None:
    """Rescale a fresh tied model's embedding, N(0, 1) in transformers, so that the initial cross-entropy is near ln V.

    A decoder position's own input token has the logit scale * d_model * std * cosine, which at T5's std of 1 grows with
    sqrt(d_model) and dominates the softmax of wide, shallow students; std = 4 / (scale * d_model) bounds it by 4.
    """
    width = model.config.d_model
    with torch.no_grad():
        model.shared.weight.mul_(min(1.0, 4.0 / (head_scale(model) * width)))


def facts_of(model: Any) -> T5Facts:
    """Read the facts off a loaded model whose head scale has been restored."""
    config = model.config
    return T5Facts(
        model_type=config.model_type,
        encoder_layers=config.num_layers,
        decoder_layers=config.num_decoder_layers,
        d_model=config.d_model,
        heads=config.num_heads,
        d_kv=config.d_kv,
        vocab_rows=model.lm_head.weight.shape[0],
        tied=is_tied(model),
        head_scale=head_scale(model),
    )


def shift_right(labels: torch.Tensor, start_id: int, pad_id: int) -> torch.Tensor:
    """Decoder inputs [batch, targets] for labels [batch, targets] padded with -100: start token first, then labels[:-1]."""
    shifted = torch.empty_like(labels)
    shifted[:, 0] = start_id
    shifted[:, 1:] = labels[:, :-1]
    return shifted.masked_fill(shifted == -100, pad_id)
