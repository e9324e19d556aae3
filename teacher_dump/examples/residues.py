"""How protein models want a sequence spelled."""

from collections.abc import Iterable, Iterator

RARE = str.maketrans("UZOB", "XXXX")


def spaced(parts: Iterable[str]) -> Iterator[str]:
    """Yield a sequence with a space between its letters, and X for the rare residues U, Z, O and B.

    ProtT5 and ProstT5 read sequences so (their model cards). The small letters of ProstT5's structures stay as they are. White
    space of the sequence is left out.
    """
    begun = False
    for part in parts:
        letters = "".join(part.split()).translate(RARE)
        if letters:
            yield (" " if begun else "") + " ".join(letters)
            begun = True
