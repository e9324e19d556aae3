"""Write the JSON documents of a cache in one canonical form, seal them with their own SHA-256, and check them when read.

In one canonical form equal documents have equal digests, whoever writes them. The digest is the last member of the file.
Without it the file is the bytes that were hashed, so that a reader need not form JSON (SPEC.md, section 3).
"""

import hashlib
import json
from math import isfinite
from typing import Any

from ...errors import CacheDamagedError, CacheMismatchError, damaged, shortened

FORMAT_NAME = "miniend-cache"
FORMAT_VERSION = 2
KINDS = ("plan", "extent", "calibration", "filters", "marker")
"""The kinds of published folders; the document of a folder is the file `<kind>.json`."""

RESERVED_KEYS = ("format", "version", "kind", "sha256")
MAXIMUM_BYTES = 64 * 2**20
MAXIMUM_DEPTH = 64
_SEAL = b',\n  "sha256": "'


def canonical_json(value: Any) -> bytes:
    """Return the one byte string that represents `value`: sorted keys, indents of two blanks, UTF-8, a newline at the end.

    Keys that are not strings become strings before we sort them, because a reader sorts strings. Raises
    ValueError for NaN, infinities, unpaired surrogates and deep nesting, TypeError for values that JSON does not have.
    """
    try:
        value = json.loads(json.dumps(value, allow_nan=False))
        _require_shallow(value)
        return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
    except RecursionError as error:
        raise ValueError("the value is nested too deeply for a document") from error


def seal(kind: str, body: dict[str, Any]) -> bytes:
    """Return the bytes of the document of this kind: header and body in canonical form, then their SHA-256 as last member.

    Raises ValueError if the kind is unknown or the body uses one of RESERVED_KEYS.
    """
    if kind not in KINDS:
        raise ValueError(f"the kind of a document is one of {', '.join(KINDS)}, not {kind!r}")
    if taken := [key for key in RESERVED_KEYS if key in body]:
        raise ValueError(f"a document's own members cannot be part of its body: {', '.join(taken)}")
    return _with_digest(canonical_json({"format": FORMAT_NAME, "version": FORMAT_VERSION, "kind": kind, **body}))


def unseal(data: bytes, kind: str, where: str) -> dict[str, Any]:
    """Return the document of these bytes, its "sha256" included; `where` names it in messages.

    Raises CacheMismatchError for a version that this software does not read and for a sound document of another kind, and
    CacheDamagedError for anything else that is not as published. We check the version before everything that it may change.
    """
    document = _parse(data, where)
    if document.get("format") != FORMAT_NAME:
        raise _damaged(where, f'its format should be "{FORMAT_NAME}", found {shortened(repr(document.get("format")))}')
    _check_version(document.get("version"), where)
    canonical = data.rpartition(_SEAL)[0] + b"\n}\n"
    if data != _with_digest(canonical):
        raise _damaged(where, "its bytes do not fit its own SHA-256")
    if document.get("kind") != kind:
        raise CacheMismatchError(
            f'{where} should be a document of kind "{kind}", found kind {shortened(repr(document.get("kind")))}: '
            "put the right folder back or dump again"
        )
    return document


def document_digest(document: dict[str, Any]) -> str:
    """Return the hexadecimal SHA-256 by which other documents refer to this document."""
    return str(document["sha256"])


def _with_digest(canonical: bytes) -> bytes:
    """Return canonical JSON with its digest added as last member; `canonical` is a non-empty object."""
    digest = hashlib.sha256(canonical).hexdigest()
    return canonical.removesuffix(b"\n}\n") + _SEAL + f'{digest}"\n}}\n'.encode()


def _parse(data: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object in `data`. Raise CacheDamagedError if it is not one."""
    if len(data) > MAXIMUM_BYTES:
        raise _damaged(where, f"expected a document of at most {MAXIMUM_BYTES:,} bytes, found {len(data):,}")
    try:
        document = _DECODER.decode(data.decode("utf-8"))
        _require_shallow(document)
        if b"\\u" in data:
            json.dumps(document, ensure_ascii=False).encode()  # raises for half of a surrogate pair
    except (ValueError, RecursionError) as error:
        raise _damaged(where, f"it is not JSON ({shortened(str(error))})") from error
    if not isinstance(document, dict):
        raise _damaged(where, "it is not a JSON object")
    return document


def _check_version(version: Any, where: str) -> None:
    """Raise CacheMismatchError, which says what to do, for another version, CacheDamagedError for what is not a version."""
    if type(version) is not int or version < 1:
        raise _damaged(where, f"its format version should be a positive integer, found {shortened(repr(version))}")
    if version != FORMAT_VERSION:
        remedy = (
            "upgrade miniend" if version > FORMAT_VERSION else "dump the cache again, or read it with an older miniend"
        )
        raise CacheMismatchError(
            f"{where} has format version {version}, but this software reads version {FORMAT_VERSION}: {remedy}"
        )


def _require_shallow(value: Any) -> None:
    """Raise ValueError if objects and lists are nested more than MAXIMUM_DEPTH deep."""
    level: list[Any] = [[value]]
    for _ in range(MAXIMUM_DEPTH + 2):
        inside = (node.values() if type(node) is dict else node for node in level)
        level = [node for nodes in inside for node in nodes if type(node) is dict or type(node) is list]
        if not level:
            return
    raise ValueError(f"a document is nested at most {MAXIMUM_DEPTH} deep")


def _finite(text: str) -> float:
    """Return a number of a document. Raise ValueError for one beyond binary64, and for NaN and Infinity, which JSON lacks."""
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def _damaged(where: str, what: str) -> CacheDamagedError:
    return damaged(where, what, "Restore the file, or remove its folder and dump it again")
