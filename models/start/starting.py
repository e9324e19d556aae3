"""Start the student that `--init` asks for, and check it: a start may be a user's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import CheckpointError, ConfigurationError
from ...runtime.durable import is_there
from ...runtime.registry import OR_A_PLUGIN
from ..families import family_of, model_type_of, stated_config
from ..size import student_config
from .request import CHECKPOINT, DEFAULT_START, STARTS, StartRequest

_IDS = ("pad_token_id", "eos_token_id", "decoder_start_token_id")
_DEPTH_AND_WIDTH = ("num_layers", "num_decoder_layers", "d_model")


def start_student(init: str | None, request: Mapping[str, Any]) -> Any:
    """Return the student that `--init [NAME:]SOURCE` asks for, float32, on the CPU and without dropout.

    NAME is one of STARTS, `checkpoint` if it is left out. `request` has the members of a StartRequest without `source`. Raises
    ConfigurationError if the start returns something that cannot learn from this teacher.
    """
    name, source = parse_init(init)
    asked = StartRequest(source=source, **request)
    student = STARTS[name](asked)
    _require_student(name, student, asked)
    return switch_off_dropout(student)


def parse_init(init: str | None) -> tuple[str, str]:
    """Return the name of a start and its source, from the value of `--init`.

    Raises ConfigurationError for a name that is not registered, and for a name without its source.
    """
    if init is None:
        return DEFAULT_START, ""
    name, colon, source = init.partition(":")
    if is_there(Path(init)):
        return CHECKPOINT, init
    if not colon and name in STARTS:
        raise ConfigurationError(f"--init {init}: expected {init}:SOURCE, found only a name; say what to start from")
    if not colon:
        return CHECKPOINT, init
    if name not in STARTS:
        raise ConfigurationError(
            f"--init {init}: unknown start {name!r}; expected a checkpoint, one of {', '.join(STARTS)} with a colon and source, "
            f"{OR_A_PLUGIN}"
        )
    return name, source


def require_same_vocabulary(
    source: str | Path, model: Any, raw_config: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    """Raise ConfigurationError unless family, vocabulary rows and special ids are the expected ones."""
    own = {"model_type": model_type_of(raw_config), "vocab_size": family_of(model).facts(model).vocab_rows}
    own |= {key: getattr(model.config, key, None) for key in _IDS}
    wanted = {"model_type": model_type_of(expected)} | {key: expected.get(key) for key in ("vocab_size", *_IDS)}
    for key, value in wanted.items():
        if value is not None and own[key] not in (None, value):
            raise ConfigurationError(
                f"{source} has {key} {own[key]!r}, the cache's teacher has {value!r}; "
                "a student must share its teacher's family and vocabulary, so start from another checkpoint"
            )


def switch_off_dropout(model: Any) -> Any:
    """Set every dropout of the modules to 0, in place, but not `config.dropout_rate`; return the model.

    So dropout is off in train mode too, which transformers' gradient checkpointing needs.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    return model


def _require_student(name: str, student: Any, request: StartRequest) -> None:
    """Raise ConfigurationError unless a start returned a student of this teacher, all of whose weights can be trained."""
    subject = f"the start {name}"
    try:
        family_of(student)
    except (AttributeError, CheckpointError):
        raise ConfigurationError(
            f"{subject}: expected a transformers model of the teacher's family, found {type(student).__name__}; correct the start"
        ) from None
    require_same_vocabulary(subject, student, stated_config(student), request.teacher_config)
    expected = (torch.float32, torch.device("cpu"), True)
    for parameter_name, parameter in student.named_parameters():
        found = (parameter.dtype, parameter.device, parameter.requires_grad)
        if found != expected:
            raise ConfigurationError(
                f"{subject}: expected weights in float32, on the CPU, that can be trained; found {parameter_name} in "
                f"{str(parameter.dtype).removeprefix('torch.')} on {parameter.device.type}"
                f"{'' if parameter.requires_grad else ', frozen'}; correct the start"
            )
    if request.size is not None:
        config = student_config(request.size, request.teacher_config)
        theirs = [getattr(student.config, key, None) for key in _DEPTH_AND_WIDTH]
        if theirs != [config[key] for key in _DEPTH_AND_WIDTH]:
            raise ConfigurationError(
                f"{subject}: expected a student of --size {request.size}, found {theirs[0]}+{theirs[1]} layers of d_model "
                f"{theirs[2]}; leave --size out, or give the size that the start returns"
            )
