"""Read JSON that is longer than memory: values one at a time, and strings in parts.

json.loads wants the whole text, and the incremental parsers that we know give a string whole. This one means by every text what
json.loads means: NaN and Infinity, halves of surrogate pairs, and of equal names the last one. Ordinary values it leaves to
json itself; only what does not fit into AHEAD characters it takes apart.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .long_text import TextWriter
from .row import with_whole_characters

AHEAD = 2**20
"""The number of characters of a value that json itself may read."""
MOST_NESTED = 100
"""The largest depth of a value that is taken apart."""
MOST_KEPT = 2**26
"""The largest number of characters of a value that is taken apart, besides its long texts. Each small value counts as VALUE."""
VALUE = 100
LONGEST_NUMBER = 10_000
_SPACE = re.compile(r"[ \t\n\r]*+")
_RUN = re.compile(r'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_FIRST_HALF = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")
"""The first half of a surrogate pair, whose second half may be in the next part."""
_SCALAR = re.compile(r"[-+.0-9A-Za-z]*+")
_FIRST_ITEM = re.compile(r"\[[ \t\n\r]*+([^ \t\n\r])")
_JSON = json.JSONDecoder()


class JsonStream:
    """The JSON in a text that comes in parts. Methods raise ValueError, which names what is wrong."""

    def __init__(self, parts: Iterable[str], wanted: Sequence[str] | None = None) -> None:
        """Keep only the `wanted` members of an object, and what is inside them; None keeps all. Others become None."""
        self._parts, self._wanted = iter(parts), wanted
        self._text, self._at = "", 0
        self._kept, self._line = 0, 1

    @property
    def line(self) -> int:
        """The number of the line, from 1, of the next character that is not read yet."""
        return self._line + self._text.count("\n", 0, self._at)

    def document(self) -> Any:
        """Return the only value of the text."""
        value = self.value(wanted=self._wanted)
        self.end()
        return value

    def end(self) -> None:
        """Raise ValueError if there is something else than white space."""
        if self.peek():
            raise ValueError("Extra data")

    def elements(self) -> Iterator[Any]:
        """Yield the elements of a list, which begins here."""
        for _ in self._items("[", "]"):
            yield self._element()

    def members(self) -> Iterator[str]:
        """Yield the names of an object, which begins here; after each, the caller reads the value."""
        for _ in self._items("{", "}"):
            yield self._name()

    def peek(self) -> str:
        """Return the next character that is not white space, or nothing at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            assert found is not None
            self._at = found.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def begins_list_of_objects(self) -> bool:
        """Return whether the next value is a list whose first element is an object."""
        if self.peek() != "[":
            return False
        while not (found := _FIRST_ITEM.match(self._text, self._at)) and self._more():
            pass
        return found is not None and found[1] == "{"

    def value(self, keep: bool = True, wanted: Sequence[str] | None = None, depth: int = 0) -> Any:
        """Return the next value, in which a long text is a LongText; None, if it is not kept."""
        if depth > MOST_NESTED:
            raise ValueError(f"a long value is nested more than {MOST_NESTED} deep")
        self._count(VALUE if keep else 0)
        match self.peek():
            case '"':
                return self._string(keep)
            case "[":
                items = (self.value(keep, depth=depth + 1) for _ in self._items("[", "]"))
                return [item for item in items if keep]
            case "{":
                members: dict[str, Any] = {}
                for _ in self._items("{", "}"):
                    name = self._name()
                    kept = keep and (wanted is None or any(f"{one}.".startswith(f"{name}.") for one in wanted))
                    members[name] = self.value(kept, depth=depth + 1)
                return members if keep else None
            case _:
                scalar = self._scalar()
                return scalar if keep else None

    def _element(self) -> Any:
        """Return the next element: by json itself, or taken apart if it is long."""
        self.peek()
        self._fill(AHEAD)
        begun = self._at
        try:
            value, stop = _JSON.raw_decode(self._text, begun)
        except (ValueError, RecursionError):
            stop = len(self._text)
        if stop == len(self._text):  # perhaps there is more of it
            self._kept = 0
            return self.value(wanted=self._wanted)
        self._at = stop
        return with_whole_characters(value) if self._text.find("\\u", begun, stop) >= 0 else value

    def _items(self, opens: str, closes: str) -> Iterator[None]:
        """Yield before each item between the brackets; the caller reads it."""
        self._expect(opens)
        if self.peek() == closes:
            self._at += 1
            return
        while True:
            yield
            if self.peek() == closes:
                self._at += 1
                return
            self._expect(",")

    def _name(self) -> str:
        if self.peek() != '"':
            raise ValueError("Expecting property name enclosed in double quotes")
        name = self._string(True)
        self._count(len(name))
        self._expect(":")
        return str(name)

    def _expect(self, character: str) -> None:
        if (found := self.peek()) != character:
            raise ValueError(f"Expecting {character!r}, found {found!r}" if found else "the text ends inside a value")
        self._at += 1

    def _scalar(self) -> Any:
        while True:
            found = _SCALAR.match(self._text, self._at)
            assert found is not None
            if found.end() < len(self._text) or len(found[0]) > LONGEST_NUMBER or not self._more():
                break
        if not found[0]:
            raise ValueError("Expecting value")
        self._at = found.end()
        return json.loads(found[0])

    def _string(self, keep: bool) -> Any:
        """Return a string as a Text. Its escapes are read by json."""
        self._at += 1
        writer = TextWriter()
        while True:
            found = _RUN.match(self._text, self._at)
            assert found is not None
            raw, stop = found[0], found.end()
            closed = stop < len(self._text) and self._text[stop] == '"'
            if not closed and _ends_in_first_half(raw):
                raw, stop = raw[:-6], stop - 6
            part = json.loads(f'"{raw}"') if "\\" in raw else raw
            if keep:
                writer.write(part)
            self._at = stop
            if closed:
                self._at += 1
                return self._counted(writer)
            self._require_string_goes_on()

    def _require_string_goes_on(self) -> None:
        """Raise ValueError unless what comes next may be an escape that is not whole, or there is more of the string."""
        rest = self._text[self._at : self._at + 12]
        if len(rest) == 12 or (rest and not rest.startswith("\\")) or not self._more():
            fault = "Invalid control character" if rest and rest[0] < " " else "Invalid escape" if rest else ""
            raise ValueError(fault or "Unterminated string")

    def _counted(self, writer: TextWriter) -> Any:
        text = writer.text()
        self._count(len(text) if isinstance(text, str) else 0)
        return text

    def _count(self, characters: int) -> None:
        self._kept += characters
        if self._kept > MOST_KEPT:
            raise ValueError(
                f"it has more than {MOST_KEPT:,} characters besides its long texts; write a long text as one string"
            )

    def _fill(self, characters: int) -> None:
        """Have so many characters ahead; when there are fewer, read four times as many, so that each is moved rarely."""
        if len(self._text) - self._at < characters:
            self._more(4 * characters)

    def _more(self, characters: int = 1) -> bool:
        """Read so many characters or more, and forget those before this place; return whether there was one."""
        self._line = self.line
        parts, length = [self._text[self._at :]], 0
        while length < characters and (part := next((part for part in self._parts if part), "")):
            parts.append(part)
            length += len(part)
        self._text, self._at = "".join(parts), 0
        return length > 0


def _ends_in_first_half(raw: str) -> bool:
    begin = raw[:-6]
    return _FIRST_HALF.fullmatch(raw[-6:]) is not None and (len(begin) - len(begin.rstrip("\\"))) % 2 == 0
