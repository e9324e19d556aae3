"""Pad decoded examples to a batch of tensors, for training code of one's own."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..models.families import IGNORED
from ..signals.sites import find_site
from .examples import Example, Floats, Integers


def collate(
    examples: Sequence[Example], sites: Sequence[str] = (), logits: bool = False, pad_id: int = 0
) -> dict[str, Any]:
    """Return a padded batch; `miniend.Dataset.collate` says what is in it."""
    inputs = [example.input_ids for example in examples]
    batch: dict[str, Any] = {
        "input_ids": _padded(inputs, pad_id),
        "attention_mask": _padded([np.ones_like(ids) for ids in inputs], 0),
    }
    if all(example.label_axis for example in examples):
        batch["labels"] = _padded([example.labels for example in examples], IGNORED)
    if sites:
        batch["sites"] = {name: _site([_tensors(example, name) for example in examples]) for name in sites}
    if logits:
        batch["logits"] = _logits(examples)
    return batch


def _tensors(example: Example, name: str) -> dict[str, Floats]:
    """Return the tensors of a site by kind, whichever mapping of the example has it."""
    full = find_site(name, [*example.relations, *example.hidden])
    if full in list(example.hidden):
        return {"hidden": example.hidden[full]}
    factors = example.relations[full]
    return {kind: getattr(factors, kind) for kind in ("query", "key", "value")}


def _site(examples: Sequence[Mapping[str, Floats]]) -> dict[str, Tensor]:
    return {
        kind: torch.nn.utils.rnn.pad_sequence([torch.from_numpy(one[kind]) for one in examples], batch_first=True)
        for kind in examples[0]
    }


def _padded(rows: Sequence[Integers], value: int) -> Tensor:
    tensors = [torch.from_numpy(row.astype(np.int64)) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)


def _logits(examples: Sequence[Example]) -> dict[str, Tensor]:
    parts = [example.logits for example in examples if example.logits is not None]
    if len(parts) < len(examples):
        raise ValueError(
            "expected examples with lists of next-token distributions, which the cache does not hold; of a cache with --logits "
            "from-hidden ask for its last decoder states (sites) and call cache.log_probabilities"
        )
    joined = {
        name: torch.from_numpy(np.concatenate([getattr(part, name) for part in parts]))
        for name in ("head_ids", "head_log_probabilities", "tail_mass", "draw_ids", "draw_weights")
    }
    for name in ("head", "draw"):
        sizes = torch.from_numpy(np.concatenate([np.diff(getattr(part, f"{name}_starts")) for part in parts]))
        joined[f"{name}_position"] = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    return {name: tensor.long() if name.endswith("ids") else tensor for name, tensor in joined.items()}
