"""Share the work of a comparison among processes started on the same output directory, for example one for each GPU.

They agree only through claims (runtime/claims.py), which the kernel drops when their holder dies.
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
    """Return once every piece is done or was tried here. Batch by batch, `make` gets the pieces that nobody else is making.

    Pieces that others hold are checked again until they are done. If their holder dies, this process makes them.
    """
    left = [list(batch) for batch in batches]
    while left:
        with_others = []
        for batch in left:
            pieces = [piece for piece in batch if not is_done(piece)]
            mine = [piece for piece in pieces if claims.take(name(piece))]
            try:
                if missing := [piece for piece in mine if not is_done(piece)]:  # others may have made some since
                    make(missing)
            finally:
                for piece in mine:
                    claims.release(name(piece))
            with_others.append([piece for piece in pieces if piece not in mine])
        left = [batch for batch in with_others if batch]
        if left:
            sleep(POLL_SECONDS)
