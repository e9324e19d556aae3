"""Load a teacher: any checkpoint that transformers loads as T5, mT5 or umT5, in one file or sharded.

The model is in evaluation mode on its device, with the head scale that its checkpoint was trained with (models/families). A
cache knows it by the digest of its tensors, because a name or a path does not identify it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CacheMismatchError, CheckpointError, ConfigurationError, one_line
from ..models.families import Family, ModelFacts, SpecialIds, family_named, family_of, model_type_of
from ..models.lent import true_name
from ..models.pretrained import load_pretrained, tensor_digest
from ..runtime.durable import is_there
from ..runtime.progress import waiting
from ..storage.documents.plan import Plan
from .config import TEACHER_DTYPES

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in TEACHER_DTYPES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Teacher:
    """A loaded teacher, and the facts that a plan holds about it."""

    name: str
    """The hub name, or the last part of a local path."""
    revision: str | None
    """The commit of a hub checkpoint; None for a local folder."""
    model: Any
    raw_config: dict[str, Any]
    facts: ModelFacts
    digest: str
    """The SHA-256 over the names, dtypes, shapes and bytes of its tensors as loaded."""
    start_id: int
    pad_id: int

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def family(self) -> Family:
        """The family of the model."""
        return family_of(self.model)

    @property
    def special_ids(self) -> SpecialIds:
        """The special ids that the model gets."""
        return SpecialIds(start=self.start_id, pad=self.pad_id)

    def given(self, ids: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the ids that its stacks get for the ids of examples, both [B, length] by axis."""
        return self.family.given(ids, self.special_ids)

    def forward(self, ids: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Tensor | None:
        """Return logits [B, labels, vocabulary] for ids and boolean masks [B, length] by axis; -100 pads the labels.

        An encoder without decoder runs, and does not have logits: None.
        """
        if self.family.predicts:
            return self.family.logits(self.model, self.given(ids), valid)
        self.family.run(self.model, self.given(ids), valid)
        return None


def load_teacher(
    name: str, dtype: str, device: torch.device, revision: str | None = None, encoder_only: bool = False
) -> Teacher:
    """Load and check a teacher, or only its encoder, and put it on a device; `revision` comes from `pin_revision`.

    Raises CheckpointError for a checkpoint that is not a T5, cannot be read, or lacks weights that the model needs, and
    ConfigurationError for an unknown dtype.
    """
    if dtype not in DTYPES:
        raise ConfigurationError(f"unknown dtype {dtype!r}; expected one of {', '.join(DTYPES)}")
    model, raw = load_pretrained(name, DTYPES[dtype], revision, encoder_only)
    family = family_of(model)
    family.restore_head_scale(model, raw)
    model.eval().requires_grad_(False)
    with waiting("digest of the teacher's weights"):
        digest = tensor_digest(model.state_dict())
    model.to(device)
    return Teacher(
        name=display_name(true_name(name)),
        revision=revision,
        model=model,
        raw_config=raw,
        facts=family.facts(model),
        digest=digest,
        start_id=model.config.decoder_start_token_id if family.predicts else model.config.pad_token_id or 0,
        pad_id=model.config.pad_token_id or 0,
    )


def require_head(name: str, raw_config: Mapping[str, Any], encoder_only: bool) -> None:
    """Raise CheckpointError for an encoder without decoder that is to predict tokens."""
    family = family_named(model_type_of(raw_config))
    if not family.predicts and not encoder_only:
        raise CheckpointError(
            f"{name} is an encoder without decoder ({family.architecture}), which does not predict tokens; add --encoder-only"
        )


def teacher_of(plan: Plan, name: str, device: torch.device, where: str) -> Teacher:
    """Load the teacher of a cache that is there already, in the dtype of its dump; `where` names the cache.

    A checkpoint on the hub is taken at the commit of the dump. Raises CacheMismatchError unless its tensors are the cache's.
    """
    planned = plan.teacher
    revision = None if is_there(Path(name)) else planned.revision
    teacher = load_teacher(name, planned.dtype, device, revision, plan.task.text)
    if teacher.digest != planned.tensor_digest:
        raise CacheMismatchError(
            f"--teacher {name} is not the teacher of {where}: expected tensors with the SHA-256 {planned.tensor_digest}, "
            f"found {teacher.digest}; name the checkpoint from which the cache was dumped, {one_line(planned.name)}"
        )
    return teacher


def display_name(name: str) -> str:
    """Return the last part of a local path, or a hub name as it is, so that a shared cache does not show a path."""
    return Path(name).resolve().name if is_there(Path(name)) else name
