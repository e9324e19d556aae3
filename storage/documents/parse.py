"""Reading and writing documents as dataclasses. The annotations say what a document holds; nothing else has to be written.

A seal proves that nobody changed a document since it was written. It does not prove that the writer was right. What
`parse` returns can be used without a KeyError, a TypeError or a number that no cache can have. `parse` compares all of a
document with the annotations and reports every misfit, not only the first. It passes over members that no field names.

How a field is read, and written by `Record.body`:

    x: Natural                                      a member that must be there
    x: Number | None                                the same, null or not; a missing member counts as null
    x: Number | None = None                         a member that may be missing, and is not written where it is None
    x: tuple[Natural, ...]                          a list
    x: Mapping[str, Mean]                           an object of any names
    x: Mapping[str, Any]                            an object that is kept as it is
    x: Hub | None = field(default=None, metadata=only_for("kind", "hf"))
                                                    members of this same object, where its member `kind` is "hf"
    task: Task = field(metadata=member("objective"))
                                                    a member that has another name in the document
    x: Mapping[str, Any] = field(default_factory=dict, metadata=OTHERS)
                                                    all members that no other field names, here whatever they are
    x: Mapping[str, Any] = field(metadata=has_the_form_of(TeacherConfig))
                                                    an object that is kept as it is, if it can be read as a TeacherConfig
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, ClassVar, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from ...errors import damaged, shortened

SHOWN = 10
"""The number of misfits that a message names; it counts the others."""

_MEMBER, _UNWRITTEN, _ONLY_FOR, _OTHERS, _FORM = "member", "unwritten", "only for", "others", "form"
OTHERS: Final = MappingProxyType({_OTHERS: True})


def member(name: str) -> Mapping[str, Any]:
    """Return the metadata of a field whose member has another name in the document."""
    return {_MEMBER: name}


def only_for(name: str, value: str) -> Mapping[str, Any]:
    """Return the metadata of a field whose members are beside the member `name`, and only where that has this value."""
    return {_ONLY_FOR: (name, value)}


def has_the_form_of(form: type[Any]) -> Mapping[str, Any]:
    """Return the metadata of a field whose object is kept as it is, after we have compared it with a dataclass."""
    return {_FORM: form}


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """An object inside a document."""

    def body(self) -> dict[str, Any]:
        """Return the members as JSON, in the order of their names, as a document has them."""
        found: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.metadata.get(_UNWRITTEN) or (value is None and one.default is None):
                continue
            if _OTHERS in one.metadata or _ONLY_FOR in one.metadata:
                found |= _as_json(value)
            else:
                found[_name(one)] = _as_json(value)
        return dict(sorted(found.items()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Document(Record):
    """A whole document, without its header and without the files and columns that its folder lists."""

    KIND: ClassVar[str]
    """The kind in the header, after which its file is named."""
    digest: str = field(default="", compare=False, metadata={_MEMBER: "sha256", _UNWRITTEN: True})
    """The SHA-256 under which other documents refer to it; empty before it is published."""


R = TypeVar("R", bound=Record)
T = TypeVar("T")


class _Nothing:
    """The value of a member that is missing."""

    def __repr__(self) -> str:
        return "nothing"


_NOTHING: Final = _Nothing()


@dataclass(slots=True)
class Misfit:
    """A value that has another form than its annotation says."""

    expected: str
    found: str
    path: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        named = f"its member {'.'.join(self.path)}" if self.path else "it"
        return f"{named} should be {self.expected}, found {self.found}"


class Misfits:
    """All misfits of a document: the first `SHOWN`, and how many there are."""

    def __init__(self) -> None:
        self.first: list[Misfit] = []
        self.count = 0

    def add(self, expected: str, found: Any) -> None:
        """Add one. The readers of the objects around it put its path together."""
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(Misfit(expected, shortened(repr(found))))

    def within(self, key: object, known: int) -> None:
        """Say that all but the first `known` misfits were found in the member or element `key`."""
        for misfit in self.first[known:]:
            misfit.path.insert(0, str(key))

    def __str__(self) -> str:
        more = [f"{self.count - len(self.first):,} more such members"] if self.count > len(self.first) else []
        return "; ".join([*map(str, self.first), *more])

    def raise_any(self, where: str) -> None:
        """Raise one CacheDamagedError that names every misfit, if there is any; `where` names the document."""
        if self.count:
            raise damaged(where, str(self))


def parse(kind: type[R], found: Any, where: str) -> R:
    """Return the JSON value `found` as a record. Raise one CacheDamagedError that names every member that does not fit."""
    form: Any = kind
    misfits = Misfits()
    record: R = _reader(form)(found, misfits)
    misfits.raise_any(where)
    return record


def parse_plain(kind: type[T], found: Any) -> T:
    """Return the JSON value `found` as a dataclass of something else than a cache. Raise ValueError that names every misfit."""
    form: Any = kind
    misfits = Misfits()
    record: T = _reader(form)(found, misfits)
    if misfits.count:
        raise ValueError(str(misfits))
    return record


Reader = Callable[[Any, Misfits], Any]
"""Returns the value of a JSON value; where that does not fit, adds to the misfits, and what it returns means nothing."""


@cache
def _reader(form: Any) -> Reader:
    """Return the reader of an annotation. It is put together once, since a cache may have ten thousand markers."""
    origin, arguments = get_origin(form), get_args(form)
    if found := _scalar_of(form):
        return _scalar(*found)
    if origin in (Union, UnionType):
        return _nullable(_without_null(form))
    if origin is tuple:
        return _list(arguments[0], None if arguments[-1] is Ellipsis else len(arguments))
    if origin is not None and issubclass(origin, Mapping):
        return _object if arguments[1] is Any else _each(arguments[1])
    if is_dataclass(form):
        return _record(form)
    raise TypeError(f"a document cannot hold {form}")


_SCALARS: dict[Any, tuple[tuple[type, ...], str]] = {
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
    str: ((str,), "a text"),
    bool: ((bool,), "true or false"),
}
"""Python type -> types that JSON gives it (true is not an integer) and what a message says of it."""


def _scalar_of(form: Any) -> tuple[Sequence[type], Callable[[Any], bool], str] | None:
    """Return the types that a scalar annotation takes, its test, and the words for both; None for any other annotation."""
    plain, constraint = get_args(form) if get_origin(form) is Annotated else (form, None)
    if plain not in _SCALARS:
        return None
    types, expected = _SCALARS[plain]
    return (types, constraint.test, constraint.expected) if constraint else (types, _any, expected)


def _any(_value: Any) -> bool:
    return True


def _scalar(types: Sequence[type], test: Callable[[Any], bool], expected: str) -> Reader:
    def read(found: Any, misfits: Misfits) -> Any:
        if type(found) not in types or not test(found):
            misfits.add(expected, found)
        return found

    return read


def _without_null(form: Any) -> Any:
    """Return X of the annotation `X | None`, and any other annotation itself."""
    if get_origin(form) not in (Union, UnionType):
        return form
    [inner] = (one for one in get_args(form) if one is not NoneType)
    return inner


def _nullable(form: Any) -> Reader:
    inner = _reader(form)

    def read(found: Any, misfits: Misfits) -> Any:
        return None if found is None or found is _NOTHING else inner(found, misfits)

    return read


def _list(form: Any, length: int | None) -> Reader:
    inner = _reader(form)

    def read(found: Any, misfits: Misfits) -> Any:
        if not isinstance(found, list) or length not in (None, len(found)):
            return misfits.add("a list" if length is None else f"a list of {length}", found)
        return tuple(_inside(inner, place, part, misfits) for place, part in enumerate(found))

    return read


def _object(found: Any, misfits: Misfits) -> Any:
    return found if isinstance(found, dict) else misfits.add("an object", found)


def _as_it_is(form: Any) -> Reader:
    inner = _reader(form)

    def read(found: Any, misfits: Misfits) -> Any:
        inner(found, misfits)
        return found

    return read


def _each(form: Any) -> Reader:
    inner = _reader(form)

    def read(found: Any, misfits: Misfits) -> Any:
        if not isinstance(found, dict):
            return misfits.add("an object", found)
        return {name: _inside(inner, name, part, misfits) for name, part in found.items()}

    return read


def _inside(inner: Reader, key: object, part: Any, misfits: Misfits) -> Any:
    known = len(misfits.first)
    value = inner(part, misfits)
    if len(misfits.first) > known:
        misfits.within(key, known)
    return value


def _record(kind: Any) -> Reader:
    hints = get_type_hints(kind, include_extras=True)
    plain: list[tuple[str, str, Any, Sequence[type], Callable[[Any], bool], Reader]] = []
    groups: list[tuple[str, str, str, Reader]] = []
    rest, others = "", _reader(Mapping[str, Any])
    for one in fields(kind):
        if _OTHERS in one.metadata:
            rest, others = one.name, _reader(hints[one.name])
        elif _ONLY_FOR in one.metadata:
            groups.append((one.name, *one.metadata[_ONLY_FOR], _reader(_without_null(hints[one.name]))))
        else:
            missing = _NOTHING if one.default is MISSING else one.default
            form = hints[one.name]
            types, test, _ = _scalar_of(_without_null(form)) or ((), _any, "")
            inner = _as_it_is(one.metadata[_FORM]) if _FORM in one.metadata else _reader(form)
            plain.append((one.name, _name(one), missing, types, test, inner))
    named = {name for _, name, *_ in plain}

    def read(found: Any, misfits: Misfits) -> Any:
        if not isinstance(found, dict):
            return misfits.add("an object", found)
        values, count = {}, misfits.count
        for attribute, name, missing, types, test, inner in plain:
            part = found.get(name, missing)
            fits = (type(part) in types and test(part)) or part is missing is not _NOTHING  # most members, so fast
            values[attribute] = part if fits else _inside(inner, name, part, misfits)
        for attribute, name, value, inner in groups:
            values[attribute] = inner(found, misfits) if found.get(name) == value else None
        if rest:
            values[rest] = others({name: value for name, value in found.items() if name not in named}, misfits)
        return kind(**values) if misfits.count == count else None

    return read


def _name(one: Field[Any]) -> str:
    return str(one.metadata.get(_MEMBER, one.name))


def _as_json(value: Any) -> Any:
    if isinstance(value, Record):
        return value.body()
    if isinstance(value, Mapping):
        return {name: _as_json(value[name]) for name in sorted(value)}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_as_json(part) for part in value]
    return value
