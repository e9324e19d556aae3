"""What the package says, in the words of a Python program: the keyword `batch_size` for the option `--batch-size`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import MiniEndError
from ..runtime.options import flag_of, options_of

_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_COMMAND_LINE = re.compile(r"\bminiend [a-z]")
"""A whole command in a text, whose options stay as one types them."""


def keywords_by_flag(kind: type) -> dict[str, str]:
    """Return by flag what a Python program writes for it."""
    spoken = {}
    for name in options_of(kind):
        default = kind.__dataclass_fields__[name].default  # type: ignore[attr-defined]
        flag = flag_of(kind, name)
        spoken[flag] = f"{name}=True" if default is False else name
        if default is True:
            spoken[flag.replace("--", "--no-", 1)] = f"{name}=False"
    return spoken


def spoken(text: str, keywords: dict[str, str]) -> str:
    """Return a text with keywords in the place of flags; a text with a whole command stays as it is."""
    if _COMMAND_LINE.search(text):
        return text
    return _FLAG.sub(lambda found: keywords.get(found[0], found[0]), text)


@contextmanager
def in_python(keywords: dict[str, str]) -> Iterator[None]:
    """Let the errors of the block name keywords."""
    try:
        yield
    except MiniEndError as error:
        if error.args and isinstance(error.args[0], str):
            error.args = (spoken(error.args[0], keywords), *error.args[1:])
        raise
