"""Text that is not ours inside Markdown: names of teachers, files and plugins stay one line and mean nothing to a renderer."""

import re
from collections.abc import Iterable, Sequence

from ..errors import one_line

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
"""The start of a tag, a comment or an address."""
_LINK = re.compile(r"[\[\]]")
"""The brackets of a link or a picture, which a renderer fetches."""
_BARE_BAR = re.compile(r"(?<!\\)((?:\\\\)*)\|")
"""A bar that no backslash escapes, with the pairs of backslashes before it."""


def code(text: str) -> str:
    """Return a code span, in which neither Markdown nor HTML means anything; its fence is longer than any in the text."""
    line = one_line(text) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    room = " " if line.startswith(("`", " ")) or line.endswith(("`", " ")) else ""
    return f"{fence}{room}{line}{room}{fence}"


def plain(text: str) -> str:
    """Return one line of text without HTML, links and pictures. Emphasis may still come of it."""
    return _LINK.sub(r"\\\g<0>", _TAG.sub("&lt;", one_line(text)))


def row(cells: Iterable[str]) -> str:
    """Return a line of a table whose cells are Markdown; a bar inside a cell does not start another one."""
    return "| " + " | ".join(_BARE_BAR.sub(r"\1\\|", cell) for cell in cells) + " |"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the lines of a table whose cells are Markdown."""
    return "".join(f"{row(line)}\n" for line in (heads, ["---"] * len(heads), *rows))
