"""Loading a teacher: any checkpoint that transformers loads as T5, mT5 or umT5, in one file or sharded, with the head it meant.

The model comes back in evaluation mode on its device, its head scale restored (see `signals/t5.py`), and with the digest
of its tensors, by which a cache knows it: a name or a path says nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigurationError
from ..models.families import Family, ModelFacts, SpecialIds, family_of
from ..models.pretrained import load_pretrained, tensor_digest
from .config import TEACHER_DTYPES

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in TEACHER_DTYPES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Teacher:
    """A loaded teacher and what a plan says of it."""

    name: str
    """Hub name, or the last part of a local path."""
    revision: str | None
    """Commit of a hub checkpoint; None for a local folder."""
    model: Any
    raw_config: dict[str, Any]
    facts: ModelFacts
    digest: str
    """SHA-256 over the names, dtypes, shapes and bytes of its tensors as loaded."""
    start_id: int
    pad_id: int

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def family(self) -> Family:
        """Its family."""
        return family_of(self.model)

    @property
    def special_ids(self) -> SpecialIds:
        """The ids with which it is fed."""
        return SpecialIds(start=self.start_id, pad=self.pad_id)

    def given(self, ids: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What its stacks are given for the ids of examples, both [B, length] by axis."""
        return self.family.given(ids, self.special_ids)

    def forward(self, ids: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Tensor:
        """Logits [B, labels, vocabulary] for ids and boolean masks [B, length] by axis; -100 pads the labels."""
        return self.family.logits(self.model, self.given(ids), valid)


def load_teacher(name: str, dtype: str, device: torch.device, revision: str | None = None) -> Teacher:
    """Load, check and place a teacher; `revision` as `pin_revision` gave it.

    Raises CheckpointError for anything that is not of the family, cannot be read, or lacks weights that the model needs.
    """
    if dtype not in DTYPES:
        raise ConfigurationError(f"unknown dtype {dtype!r}; expected one of {', '.join(DTYPES)}")
    model, raw = load_pretrained(name, DTYPES[dtype], revision)
    family = family_of(model)
    family.restore_head_scale(model, raw)
    model.eval().requires_grad_(False)
    digest = tensor_digest(model.state_dict())
    model.to(device)
    pad = model.config.pad_token_id or 0
    start = model.config.decoder_start_token_id
    return Teacher(
        name=display_name(name),
        revision=revision,
        model=model,
        raw_config=raw,
        facts=family.facts(model),
        digest=digest,
        start_id=pad if start is None else start,
        pad_id=pad,
    )


def display_name(name: str) -> str:
    """The last part of a local path, or a hub name as it is: what a cache may be shared with."""
    return Path(name).resolve().name if Path(name).exists() else name
