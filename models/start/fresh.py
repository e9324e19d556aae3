"""Start a student from random weights."""

from collections.abc import Mapping
from typing import Any

import torch
import transformers

from ...errors import ConfigurationError
from ..families import family_named
from ..size import student_config
from .request import DEFAULT_START, STARTS, StartRequest
from .starting import switch_off_dropout


@STARTS.register(DEFAULT_START)
def fresh(request: StartRequest) -> Any:
    """Return a student of random weights, which are a function of size, teacher and seed."""
    if request.source:
        raise ConfigurationError(
            f"--init {DEFAULT_START}:{request.source}: random weights do not have a source; leave --init out for them"
        )
    config = student_config(request.size or request.proposed_size, request.teacher_config)
    return build_student(config, request.tied, request.seed)


def build_student(config: Mapping[str, Any], tied: bool, seed: int) -> Any:
    """Return a fresh float32 student on the CPU, without dropout; it depends only on the arguments.

    `config` comes from `student_config`; `tied` says whether the teacher's head is its embedding. A T5 student scales its decoder
    output as `scale_decoder_outputs` says; without that member it scales if it is tied, as T5 and T5 v1.1 do. Its initial
    cross-entropy is within a nat of ln(vocabulary). torch's global random state stays as it was.
    """
    family = family_named(config["model_type"])
    architecture = getattr(transformers, family.architecture)
    settings = family.fresh_settings(tied) | {key: value for key, value in config.items() if key != "model_type"}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = architecture(architecture.config_class(**settings))
        if tied:
            family.shrink_tied_embedding(model)
        else:
            family.untie(model)
    return switch_off_dropout(model)
