"""What a model costs: parameters, GFLOPs by the paper's convention, measured latency and throughput.

We inferred the convention from the paper's numbers (25.4 for T5-base, 3.18 for 6L384H). It counts one FLOP per multiply-add, and
only the matrices of linear layers: no attention products, norms or embeddings. There are 128 encoder and 128 decoder positions,
and the head runs at one position. Latency and throughput are measured on the same work.
"""

from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import nn

from ..models.families import family_of, parameter_counts
from ..runtime.devices import timed
from .records import ModelFacts

POSITIONS = 128
THROUGHPUT_BATCH = 32
LATENCY_RUNS, THROUGHPUT_RUNS = 7, 3


def gflops(model: Any) -> float:
    """Return 10^9 multiply-adds of one forward pass by the convention above; the model may be on the meta device."""
    count, (head, _) = 0, family_of(model).head(model)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            count += module.weight.numel() * (1 if module.weight is head else POSITIONS)
    return count / 1e9


def model_facts(model: Any, device: torch.device) -> ModelFacts:
    """Return all facts. The model is moved to the device for the measurement, and then to the CPU."""
    total, without = parameter_counts(model)
    model.to(device)
    try:
        latency = _seconds(lambda: _forward(model, 1, device), device, LATENCY_RUNS)
        batch = _seconds(lambda: _forward(model, THROUGHPUT_BATCH, device), device, THROUGHPUT_RUNS)
    finally:
        model.to("cpu")
    return ModelFacts(
        parameters=total,
        parameters_without_embeddings=without,
        gflops=gflops(model),
        latency_ms=1e3 * latency,
        examples_per_second=THROUGHPUT_BATCH / batch,
        device=_device_name(device),
    )


def _forward(model: Any, batch: int, device: torch.device) -> torch.Tensor:
    """Run encoder and decoder over 128 positions each and the head at the last; return logits [batch, 1, vocabulary rows]."""
    family, shape = family_of(model), (batch, POSITIONS)
    given = {axis: torch.full(shape, model.config.eos_token_id, device=device) for axis in family.axes}
    valid = {axis: torch.ones(shape, dtype=torch.bool, device=device) for axis in family.axes}
    hidden = family.run(model, given, valid)
    return hidden[:, -1:] @ family.head(model)[0].T


def _seconds(forward: Callable[[], torch.Tensor], device: torch.device, runs: int) -> float:
    """Return the median wall time of a forward pass, after one that warms up."""
    with torch.inference_mode():
        times = [timed(device, forward)[1] for _ in range(runs + 1)]
    return median(times[1:])


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
