"""What is left of a sorted teacher at each keep fraction: widths, parameters, GFLOPs and the loss before any training."""

from collections.abc import Callable, Iterator
from typing import Any

import torch

from ...evaluation.facts import gflops
from ...models.families import parameter_counts
from ...models.pruning.prefix import cut_model
from ...models.pruning.widths import Widths, kept_widths, widths_of
from ...runtime.progress import progress_bar
from .record import Row

KEEPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05)
"""The fractions in the table. One with the widths of the fraction before it is left out, as there are among few heads."""


def rows(model: Any, device: torch.device, loss: Callable[[Any], float | None]) -> list[Row]:
    """Return the rows of a sorted model. `loss` measures the held-out cross-entropy of a model on the device."""
    candidates = [*_candidates(widths_of(model.config))]
    found = []
    with progress_bar("loss by keep fraction", len(candidates), "model", kept=False) as bar:
        for keep, widths in candidates:
            smaller = cut_model(model, widths).to(device)
            parameters, without_embeddings = parameter_counts(smaller)
            found.append(
                Row(
                    keep=keep,
                    heads=widths.heads,
                    d_ff=widths.d_ff,
                    parameters=parameters,
                    parameters_without_embeddings=without_embeddings,
                    gflops=gflops(smaller),
                    cross_entropy=loss(smaller),
                )
            )
            bar.update()
    return found


def _candidates(full: Widths) -> Iterator[tuple[float, Widths]]:
    before = None
    for keep in KEEPS:
        widths = kept_widths(full, keep)
        if widths != before:
            yield keep, widths
        before = widths
