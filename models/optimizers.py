"""Build the optimizer of a student's parameters, set its learning rates, and save and load its state as named tensors.

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

_REMEDY = "continue with the settings with which the run began, or use another output folder"


def build_optimizer(
    name: str,
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    learning_rate: float,
    weight_decay: float,
) -> Optimizer:
    """Return an optimizer of the parameters that require gradients, in one group with weight decay and one without.

    Raises ConfigurationError for an unknown name, a learning rate that is not positive, negative weight decay, or nothing to
    train.
    """
    if name not in OPTIMIZERS:
        raise ConfigurationError(f"unknown optimizer {name!r}; expected one of {', '.join(OPTIMIZERS)}")
    if not (learning_rate > 0 and weight_decay >= 0):
        raise ConfigurationError(
            f"expected a learning rate above 0 and weight decay of at least 0, found {learning_rate} and {weight_decay}"
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
    """Return the learning rate of update number `step`, counted from 1 to `total_steps`.

    Linear warm-up reaches `base` at update `warmup_steps`. Then `linear` and `cosine` fall towards 0, which they would reach at
    update total_steps + 1. `inverse-sqrt` is base * sqrt(max(warmup_steps, 1) / step), the T5 paper's (arXiv 1910.10683) with a
    warm-up. `constant` stays at `base`. Raises ConfigurationError for an unknown schedule or a warm-up that does not fit, and
    ValueError for a step that does not.
    """
    if schedule not in SCHEDULES:
        raise ConfigurationError(f"unknown schedule {schedule!r}; expected one of {', '.join(SCHEDULES)}")
    if not 0 <= warmup_steps <= total_steps:
        raise ConfigurationError(f"expected a warm-up of 0 to {total_steps} steps (all of them), found {warmup_steps}")
    if not 1 <= step <= total_steps:
        raise ValueError(f"expected an update from 1 to {total_steps}, found {step}")
    if step <= warmup_steps:
        return base * step / warmup_steps
    progress = (step - 1 - warmup_steps) / (total_steps - warmup_steps)
    if schedule == "linear":
        return base * (1.0 - progress)
    if schedule == "cosine":
        return base * 0.5 * (1.0 + math.cos(math.pi * progress))
    return base * math.sqrt(max(warmup_steps, 1) / step) if schedule == "inverse-sqrt" else base


def set_learning_rate(optimizer: Optimizer, rate: float, step: int) -> float:
    """Use `rate` for update number `step` in every group, and return the rate that is really applied.

    torch's Adafactor never goes above 1 / sqrt(step), the paper's relative step size.
    """
    applied = min(rate, step**-0.5) if isinstance(optimizer, torch.optim.Adafactor) else rate
    for group in optimizer.param_groups:
        group["lr"] = applied
    return applied


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return a copy, on the CPU, of the state of a built optimizer: `exp_avg/student.encoder...` -> tensor.

    A parameter that was never updated does not have a state and does not appear.
    """
    return {
        f"{key}/{name}": value.detach().to("cpu", copy=True).contiguous()
        for name, parameter in _named(optimizer)
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_optimizer_tensors(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned; updates then continue bit for bit, given the same learning rates.

    Raises RunMismatchError, and leaves the optimizer as it was, if names, shapes or kinds of state do not fit.
    """
    parameters = dict(_named(optimizer))
    state: dict[str, dict[str, Tensor]] = {}
    for entry, tensor in tensors.items():
        key, _, name = entry.partition("/")
        if name not in parameters:
            raise RunMismatchError(
                f"the checkpoint holds optimizer state {entry!r}, but this student does not train that parameter; {_REMEDY}"
            )
        state.setdefault(name, {})[key] = tensor.detach().clone()
    for name, entries in state.items():
        expected = _state_shapes(optimizer, tuple(parameters[name].shape))
        shapes = {key: tuple(tensor.shape) for key, tensor in entries.items()}
        if shapes != expected:
            raise RunMismatchError(
                f"optimizer state of {name}: expected the shapes {expected}, found {shapes} in the checkpoint; {_REMEDY}"
            )
    packed = optimizer.state_dict()
    packed["state"] = {place: state[name] for place, name in enumerate(parameters) if name in state}
    optimizer.load_state_dict(packed)


def _named(optimizer: Optimizer) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield (name, parameter) in the order in which torch numbers them."""
    for group in optimizer.param_groups:
        yield from zip(group["param_names"], group["params"], strict=True)


def _state_shapes(optimizer: Optimizer, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the state of a parameter of this shape after an update, by key."""
    if "betas" in optimizer.param_groups[0]:
        return {"step": (), "exp_avg": shape, "exp_avg_sq": shape}
    if len(shape) > 1:
        return {"step": (), "row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, shape[-1])}
    return {"step": (), "variance": shape}
