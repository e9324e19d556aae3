"""Gradient checkpointing of a student: of each block only its inputs are kept, and it is run once more in the backward.

Non-reentrant, so that the taps' tensors, which leave a block in the middle, are part of the graph as ever; they are captured
in the forward alone, for the taps are closed by the time that a block is run again. The losses stay outside.

transformers' own switch would also mark every attention module, where a T5 then gives the zeros that stand for cross-attention's
position bias a gradient that nobody reads: another attention kernel, other rounding, and L x L numbers kept. Only the blocks
are marked here, so gradients are the same to the bit on a CPU.
"""

from functools import partial
from typing import Any

from torch.utils.checkpoint import checkpoint

from .families import family_of


def checkpoint_blocks(student: Any) -> None:
    """Let every block of both stacks of a transformers T5 be recomputed in the backward, in place.

    Needs a student without dropout, as all are here: the state of the random numbers is not restored.
    """
    run = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
    blocks: list[Any] = family_of(student).blocks(student)
    for block in blocks:
        block.gradient_checkpointing = True
        block._gradient_checkpointing_func = run
