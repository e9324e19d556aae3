"""The panels of a cache's picture about next-token distributions: the probability that is kept, and the gradient from it."""

import math
from typing import Any

from ...runtime.picture import RAW
from ...signals.choices import FROM_HIDDEN
from .facts import CacheFacts
from .inspection import logit_name
from .panels import BESIDE, COLOURS, SMALL


def draw_mass(axes: Any, facts: CacheFacts) -> None:
    """Draw the share of the teacher's probability that is kept id by id, and how the rest is stored."""
    described, fidelity = facts.logits, facts.fidelity.logits
    assert described is not None
    assert fidelity is not None
    kept = fidelity.kept_mass
    rest = {"top-k": "one outcome", FROM_HIDDEN: "left out"}.get(described.kind, "by random draws")
    axes.barh([0, 0], [kept, 1 - kept], left=[0, kept], color=[COLOURS["logits"], RAW], height=0.6)
    axes.text(0.0, -0.38, f"{kept:.3f} id by id", ha="left", **SMALL)
    axes.text(1.0, -0.38, f"{1 - kept:.3f} {rest}", ha="right", **SMALL)
    axes.set_ylim(0.4, -0.75)
    axes.set_xlim(0, 1)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.set_title(f"Logits, {logit_name(described)}: probability that is kept", loc="left")


def draw_gradient(axes: Any, facts: CacheFacts) -> None:
    """Draw the gradient of full distributions as an arrow of length 1, and the cached one at its angle and relative length."""
    fidelity, rows = facts.fidelity.logits, facts.teacher.facts.vocab_rows
    assert fidelity is not None
    axes.set_aspect("equal")
    axes.set_anchor("NW")
    axes.axis("off")
    axes.set_title("Gradient of a position, at a student that knows only frequencies", loc="left", fontsize=10)
    entries = f"all {rows:,}" if fidelity.entries is None else f"{fidelity.entries:.1f} of {rows:,}"
    lines = [f"{entries} entries per position", f"mean KL {fidelity.kl:.1e} nats by rounding"]
    if fidelity.gradient_angle is not None and fidelity.gradient_norm_ratio is not None:
        _arrows(axes, math.radians(fidelity.gradient_angle), fidelity.gradient_norm_ratio)
        lines += [f"angle {fidelity.gradient_angle:.1f}°", f"length {fidelity.gradient_norm_ratio:.3f} of the full one"]
    axes.text(1.0, 0.5, "\n".join(lines), transform=axes.transAxes, ha="right", va="center", linespacing=1.5, **SMALL)


def _arrows(axes: Any, angle: float, ratio: float) -> None:
    tip = (ratio * math.cos(angle), ratio * math.sin(angle))
    for end, colour, name, rise in (((1.0, 0.0), "0.55", "full", -4), (tip, COLOURS["logits"], "cached", 4)):
        axes.annotate(
            "", end, (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2.5, "shrinkA": 0}
        )
        axes.annotate(name, end, (5, rise), color=colour, **BESIDE)
    arc = [angle * step / 40 for step in range(41)]
    axes.plot([0.35 * math.cos(a) for a in arc], [0.35 * math.sin(a) for a in arc], color="0.3", linewidth=1)
    axes.set_xlim(min(-0.05, tip[0] - 0.1), max(1.0, tip[0]) + 1.3)
    axes.set_ylim(-0.12, max(0.5, tip[1] + 0.12))
