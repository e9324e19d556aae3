"""Sharing the work of one comparison among processes that were started on the same output directory, one for each GPU, say.

They meet in claims alone (storage/claims.py), which the kernel drops when their holder dies.
"""

from collections.abc import Callable, Sequence
from time import sleep
from typing import TypeVar

from ....runtime.claims import POLL_SECONDS, Claims

PieceT = TypeVar("PieceT")


def share(
    claims: Claims,
    batches: Sequence[Sequence[PieceT]],
    name: Callable[[PieceT], str],
    is_done: Callable[[PieceT], bool],
    make: Callable[[list[PieceT]], None],
) -> None:
    """Return once every piece is done or was tried here: batch by batch, `make` gets what nobody else is at.

    What others hold is looked at again until they are done with it, or dead: then it is made here.
    """
    left = [list(batch) for batch in batches]
    while left:
        with_others = []
        for batch in left:
            pieces = [piece for piece in batch if not is_done(piece)]
            mine = [piece for piece in pieces if claims.take(name(piece))]
            try:
                if missing := [piece for piece in mine if not is_done(piece)]:  # some may be, since the first look
                    make(missing)
            finally:
                for piece in mine:
                    claims.release(name(piece))
            with_others.append([piece for piece in pieces if piece not in mine])
        left = [batch for batch in with_others if batch]
        if left:
            sleep(POLL_SECONDS)
