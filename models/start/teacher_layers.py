"""Start a student from evenly spaced layers of its teacher."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...errors import ConfigurationError
from ..families import family_of, is_encoder
from ..layer_maps import layer_pairs
from ..pretrained import load_pretrained
from ..size import parse_size, student_config
from .checkpoint import absorb_meant_scale
from .fresh import build_student
from .request import STARTS, StartRequest
from .starting import require_same_vocabulary

NAME = "teacher-layers"
_FROM_TEACHER = (
    "d_kv",
    "d_ff",
    "num_heads",
    "feed_forward_proj",
    "relative_attention_num_buckets",
    "relative_attention_max_distance",
)
"""The members that a student must take from its teacher if it starts from the teacher's layers."""


@STARTS.register(NAME)
def teacher_layers(request: StartRequest) -> Any:
    """Return a student of evenly spaced layers of the teacher that the source names."""
    size = request.size or str(replace(parse_size(request.proposed_size), d_model=request.teacher_width))
    return init_from_teacher(student_config(size, request.teacher_config), request.source)


def init_from_teacher(config: Mapping[str, Any], teacher: str | Path, layer_map: str = "uniform") -> Any:
    """Return a student with its teacher's width and some of its layers, which the layer map chooses.

    `config` gives the depth, and d_model as a check; heads and feed-forward are the teacher's. Raises ConfigurationError if
    width or depth do not fit.
    """
    source, raw_config = load_pretrained(teacher, torch.float32, encoder_only=is_encoder(config))
    require_same_vocabulary(teacher, source, raw_config, config)
    _require_same_width(config, source.config)
    family = family_of(source)
    taken = {key: getattr(source.config, key) for key in _FROM_TEACHER} | family.student_settings(source.config)
    model = build_student({**config, **taken}, family.tied(source), seed=0)
    depths = {stack.name: [family.depth(one.config, stack.name) for one in (model, source)] for stack in family.stacks}
    layers = {name: _chosen_layers(layer_map, *depth) for name, depth in depths.items()}
    weights = source.state_dict()
    model.load_state_dict({name: weights[family.teacher_parameter(name, layers)] for name in model.state_dict()})
    absorb_meant_scale(model, raw_config)
    return model


def _chosen_layers(layer_map: str, student: int, teacher: int) -> tuple[int, ...]:
    """Return the teacher layer of every student layer, in the order of the student's."""
    pairs = layer_pairs(layer_map, student, teacher)
    if sorted(own for own, _ in pairs) != list(range(student)):
        raise ConfigurationError(
            f"layer map {layer_map}: a start needs one teacher layer for each of the student's {student}, found {pairs}; "
            "use a map of all layers, such as uniform"
        )
    return tuple(theirs for _, theirs in sorted(pairs))


def _require_same_width(config: Mapping[str, Any], teacher: Any) -> None:
    depths = (config["num_layers"], config["num_decoder_layers"])
    limits = (teacher.num_layers, teacher.num_decoder_layers)
    shown = f"{depths[0]}L" if depths[0] == depths[1] else f"{depths[0]}E{depths[1]}D"
    if config["d_model"] != teacher.d_model:
        raise ConfigurationError(
            f"a student that starts from its teacher's layers needs its d_model {teacher.d_model}, not {config['d_model']}; "
            f"use the size {shown}{teacher.d_model}H, or start from fresh weights"
        )
    if any(depth > limit for depth, limit in zip(depths, limits, strict=True)):
        raise ConfigurationError(
            f"a student of {depths[0]}+{depths[1]} layers cannot start from a teacher of {limits[0]}+{limits[1]}; "
            "use at most the teacher's depth, or start from fresh weights"
        )
