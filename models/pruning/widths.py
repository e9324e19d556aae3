"""The widths that a keep fraction leaves of a model: attention heads and feed-forward neurons, equal in all layers.

Depth, d_model and d_kv are the model's own. transformers' T5 has one number of heads and one d_ff for all layers of both stacks.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ...errors import ConfigurationError

PRUNED = "pruned"
"""The start of a student that is a prefix of a sorted teacher: `--init pruned:SORTED`."""
RECORD = "pruning.json"
"""The file beside a sorted teacher that says how it was sorted. The first heads and neurons of another model mean nothing."""
MEASURED, GRADIENT = "measured", "gradient"
IMPORTANCES = (MEASURED, GRADIENT)
"""How importance is found; see importance.py."""
NEURON_STEP = 64
"""A pruned d_ff is a multiple of this, which matrix units of GPUs like."""


@dataclass(frozen=True, slots=True, order=True)
class Widths:
    """The heads of each attention and the neurons of each feed-forward."""

    heads: int
    d_ff: int


def widths_of(config: Any) -> Widths:
    """Return the widths of a model, from its transformers configuration."""
    return Widths(int(config.num_heads), int(config.d_ff))


def kept_widths(full: Widths, keep: float) -> Widths:
    """Return the widths that the fraction `keep` leaves of the full ones.

    They never exceed the full ones, and they do not grow when `keep` shrinks. Raises ConfigurationError unless 0 < keep <= 1.
    """
    require_keep(keep)
    if keep == 1:
        return full
    # h' = max(1, round(c h));   d_ff' = max(64, 64 round(c d_ff / 64)), at most d_ff
    heads = max(1, round(keep * full.heads))
    neurons = max(NEURON_STEP, NEURON_STEP * round(keep * full.d_ff / NEURON_STEP))
    return Widths(heads, min(neurons, full.d_ff))


def require_keep(keep: float) -> None:
    """Raise ConfigurationError unless a number can be the fraction of heads and neurons to keep."""
    if not 0 < keep <= 1:
        raise ConfigurationError(f"--keep {keep:g}: expected a fraction above 0 and at most 1, such as 0.5")


def with_widths(config: Any, widths: Widths) -> Any:
    """Return a copy of a transformers configuration with other widths."""
    changed = deepcopy(config)
    changed.num_heads, changed.d_ff = widths.heads, widths.d_ff
    return changed
