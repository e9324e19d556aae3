"""Gradient checkpointing of a student: the forward keeps only the inputs of each block, and the backward runs the block again.

It is non-reentrant, so that the tensors that taps read inside a block are part of the graph as usual. They are captured in the
forward only, because the taps are closed when a block runs again. The losses stay outside.

transformers' own switch would also mark every attention module. A T5 would then compute a gradient, which nobody reads, of the
zeros that stand for cross-attention's position bias. That means another attention kernel, other rounding and L x L numbers kept.
We mark only the blocks, so gradients are the same to the bit on a CPU.
"""

from functools import partial
from typing import Any

from torch.utils.checkpoint import checkpoint

from .families import family_of


def checkpoint_blocks(student: Any) -> None:
    """Make the backward recompute every block of both stacks of a transformers T5; the student is changed in place.

    The student must not have dropout, because the state of the random numbers is not restored. No student here has any.
    """
    run = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
    blocks: list[Any] = family_of(student).blocks(student)
    for block in blocks:
        block.gradient_checkpointing = True
        block._gradient_checkpointing_func = run
