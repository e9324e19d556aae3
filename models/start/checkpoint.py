"""Start a student from a checkpoint."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from ...errors import ConfigurationError
from ..families import family_of, is_encoder
from ..lent import lent_model
from ..pretrained import load_pretrained
from .request import CHECKPOINT, STARTS, StartRequest
from .starting import require_same_vocabulary, switch_off_dropout


@STARTS.register(CHECKPOINT)
def checkpoint(request: StartRequest) -> Any:
    """Return a student that continues from any checkpoint of the teacher's family, which has its own size."""
    if request.size:
        raise ConfigurationError(f"--init {request.source} brings a student of its own size; leave --size out")
    return load_student(request.source, request.teacher_config)


def load_student(source: str | Path, teacher_config: Mapping[str, Any], revision: str | None = None) -> Any:
    """Return a student from a checkpoint of the teacher's family with the teacher's vocabulary rows and special ids.

    `source` is a folder or a hub name, the latter at a `revision`; `teacher_config` is the teacher's config.json. Of a full
    checkpoint a student of an encoder takes the encoder. Raises
    CheckpointError if the checkpoint cannot be loaded, and ConfigurationError if it does not fit the teacher.
    """
    model, raw_config = load_pretrained(source, torch.float32, revision, is_encoder(teacher_config))
    require_same_vocabulary(source, model, raw_config, teacher_config)
    if lent_model(source) is not None:  # its owner keeps it as it is
        model = deepcopy(model)
    absorb_meant_scale(model, raw_config)
    return switch_off_dropout(model)


def absorb_meant_scale(model: Any, raw_config: Mapping[str, Any]) -> None:
    """Multiply the final norm by the head scale that the author meant, divided by the one that this model applies.

    This is exact up to rounding, for tied and untied heads. The factor is 1, except for umT5 checkpoints whose config.json
    unties the head.
    """
    family = family_of(model)
    meant, applied = family.meant_head_scale(raw_config, model.config.d_model), family.head_scale(model)
    if meant != applied:
        family.absorb_head_scale(model, meant / applied)
