"""The gradient's norm by part of the student: what each objective moves, step by step.

MiniEnD's argument for explicit terms is about which part the gradient reaches (Zhang et al., arXiv 2305.12330), so the parts
are those of its objectives. Every parameter belongs to exactly one, its layer norm goes with each sublayer and the final norm
with the stack's last sublayer, so that the squares add up to the square of the whole gradient's norm.
"""

import re
from typing import Any

import torch
from torch import Tensor

PREFIX = "gradient_norm."
PARTS = ("embedding", "encoder", "decoder_self", "decoder_cross", "decoder_feed_forward", "head")
"""`embedding` is the input embedding of both stacks and the head where it is tied; `head` is an untied one."""

_SUBLAYER = re.compile(r"decoder\.block\.\d+\.layer\.([012])\.")


def part_of(name: str) -> str:
    """The part that a parameter of a transformers T5, mT5 or umT5 belongs to, by its name in `named_parameters()`.

    Raises ValueError for a name that is of none of them.
    """
    if name == "shared.weight":
        return "embedding"
    if name == "lm_head.weight":
        return "head"
    if name.startswith("encoder."):
        return "encoder"
    if sublayer := _SUBLAYER.match(name):
        return ("decoder_self", "decoder_cross", "decoder_feed_forward")[int(sublayer[1])]
    if name == "decoder.final_layer_norm.weight":
        return "decoder_feed_forward"
    raise ValueError(f"parameter {name!r} is none of a T5's")


def gradient_norms(student: Any) -> dict[str, float]:
    """`gradient_norm.encoder` and so on: the 2-norms of the gradients as they are now, in the order of PARTS.

    A part without any gradient is left out, such as a head that is not trained. Waits for the device once.
    """
    gradients: dict[str, list[Tensor]] = {}
    for name, parameter in student.named_parameters():
        if parameter.grad is not None:
            gradients.setdefault(part_of(name), []).append(parameter.grad)
    found = [part for part in PARTS if part in gradients]
    if not found:
        return {}
    norms = torch.stack([torch.nn.utils.get_total_norm(gradients[part]) for part in found]).tolist()
    return {PREFIX + part: norm for part, norm in zip(found, norms, strict=True)}
