"""An optimizer over a student's parameters, its learning rates, and its state as named tensors.

Weight decay applies to matrices, not to norms. The state goes to disk as flat tensors called KEY/PARAMETER, because torch's
own state_dict needs pickle and counts parameters by position.
"""

import math
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import ConfigurationError, RunMismatchError
from .optimizer_settings import OPTIMIZERS, SCHEDULES

_REMEDY = "go on with the settings that the run began with, or use another output folder"


def build_optimizer(
    name: str,
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    learning_rate: float,
    weight_decay: float,
) -> Optimizer:
    """An optimizer over the parameters that require gradients, in one group with weight decay and one without.

    Raises ConfigurationError for an unknown name, negative settings, or nothing to train.
    """
    if name not in OPTIMIZERS:
        raise ConfigurationError(f"unknown optimizer {name!r}; expected one of {', '.join(OPTIMIZERS)}")
    if not (learning_rate > 0 and weight_decay >= 0):
        raise ConfigurationError(
            f"learning rate must be above 0 and weight decay at least 0; got {learning_rate} and {weight_decay}"
        )
    trained = [(key, parameter) for key, parameter in named_parameters if parameter.requires_grad]
    if not trained:
        raise ConfigurationError("no parameter is left to train: the objective reaches none of them; add a term to it")
    groups = [
        {"params": [item for item in trained if item[1].ndim > 1], "weight_decay": weight_decay},
        {"params": [item for item in trained if item[1].ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    class_name, options = OPTIMIZERS[name]
    optimizer: Optimizer = getattr(torch.optim, class_name)(groups, lr=learning_rate, **options)
    return optimizer


def learning_rate_at(step: int, total_steps: int, base: float, warmup_steps: int, schedule: str) -> float:
    """The learning rate of update number `step`, counted from 1 to `total_steps`.

    Linear warm-up reaches `base` at update `warmup_steps`; then `linear` and `cosine` fall towards 0, which would come at
    update total_steps + 1, `inverse-sqrt` is base * sqrt(warmup / step) (the T5 paper's, arXiv 1910.10683, with a warm-up),
    and `constant` stays.
    """
    if schedule not in SCHEDULES:
        raise ConfigurationError(f"unknown schedule {schedule!r}; expected one of {', '.join(SCHEDULES)}")
    if not 0 <= warmup_steps <= total_steps:
        raise ConfigurationError(f"warm-up must last from 0 to {total_steps} steps (all of them); got {warmup_steps}")
    if not 1 <= step <= total_steps:
        raise ValueError(f"updates are counted from 1 to {total_steps}; got {step}")
    if step <= warmup_steps:
        return base * step / warmup_steps
    progress = (step - 1 - warmup_steps) / (total_steps - warmup_steps)
    if schedule == "linear":
        return base * (1.0 - progress)
    if schedule == "cosine":
        return base * 0.5 * (1.0 + math.cos(math.pi * progress))
    return base * math.sqrt(max(warmup_steps, 1) / step) if schedule == "inverse-sqrt" else base


def set_learning_rate(optimizer: Optimizer, rate: float, step: int) -> float:
    """Use `rate` for update number `step`, in every group; returns the rate that is really applied.

    torch's Adafactor never goes above 1 / sqrt(step), the paper's relative step size.
    """
    applied = min(rate, step**-0.5) if isinstance(optimizer, torch.optim.Adafactor) else rate
    for group in optimizer.param_groups:
        group["lr"] = applied
    return applied


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """A copy, on the CPU, of the state of an optimizer made by `build_optimizer`: `exp_avg/student.encoder...` -> tensor.

    A parameter that was never updated has no state and does not appear.
    """
    return {
        f"{key}/{name}": value.detach().to("cpu", copy=True).contiguous()
        for name, parameter in _named(optimizer)
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_optimizer_tensors(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned; updates then go on bit for bit, given the same learning rates.

    Raises RunMismatchError, leaving the optimizer as it was, where names, shapes or kinds of state do not fit.
    """
    parameters = dict(_named(optimizer))
    state: dict[str, dict[str, Tensor]] = {}
    for entry, tensor in tensors.items():
        key, _, name = entry.partition("/")
        if name not in parameters:
            raise RunMismatchError(
                f"the checkpoint holds optimizer state {entry!r}, but this student trains no such parameter; {_REMEDY}"
            )
        state.setdefault(name, {})[key] = tensor.detach().clone()
    for name, entries in state.items():
        expected = _state_shapes(optimizer, tuple(parameters[name].shape))
        found = {key: tuple(tensor.shape) for key, tensor in entries.items()}
        if found != expected:
            raise RunMismatchError(
                f"optimizer state of {name}: the checkpoint has {found}, expected {expected}; {_REMEDY}"
            )
    packed = optimizer.state_dict()
    packed["state"] = {place: state[name] for place, name in enumerate(parameters) if name in state}
    optimizer.load_state_dict(packed)


def _named(optimizer: Optimizer) -> Iterator[tuple[str, nn.Parameter]]:
    """(name, parameter) in the order in which torch numbers them."""
    for group in optimizer.param_groups:
        yield from zip(group["param_names"], group["params"], strict=True)


def _state_shapes(optimizer: Optimizer, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The state that one update leaves for a parameter of this shape."""
    if "betas" in optimizer.param_groups[0]:
        return {"step": (), "exp_avg": shape, "exp_avg_sq": shape}
    if len(shape) > 1:
        return {"step": (), "row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, shape[-1])}
    return {"step": (), "variance": shape}
