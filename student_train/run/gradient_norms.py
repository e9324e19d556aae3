"""The gradient's norm by part of the student, which shows what each objective moves, step by step.

MiniEnD argues for explicit terms by the part that the gradient reaches (Zhang et al., arXiv 2305.12330). The family names the
one part that each parameter belongs to, so the squares add up to the square of the whole gradient's norm. The terms' own
parameters are a part too.
"""

import torch
from torch import Tensor

from ..distillation import TERMS_PART, Distillation

PREFIX = "gradient_norm."


def gradient_norms(distillation: Distillation) -> dict[str, float]:
    """Return the 2-norms of the current gradients as `gradient_norm.encoder` and so on, in the family's order of parts.

    A part without any gradient is left out, such as a head that is not trained. Waits for the device once.
    """
    gradients: dict[str, list[Tensor]] = {}
    for name, parameter in distillation.trained():
        if parameter.grad is not None:
            gradients.setdefault(distillation.part_of(name), []).append(parameter.grad)
    parts = [part for part in (*distillation.family.parts, TERMS_PART) if part in gradients]
    if not parts:
        return {}
    norms = torch.stack([torch.nn.utils.get_total_norm(gradients[part]) for part in parts]).tolist()
    return {PREFIX + part: norm for part, norm in zip(parts, norms, strict=True)}
