"""The files of a corpus in a plan: one by one, or where they are many, in a list of their own beside the plan's document.

A plan of 300,000 files would be 50 MB, which every reader of the cache would parse. Older plans have all files one by one; we
compare them as if they had a list.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ...storage.documents.plan import CorpusFile, CorpusPart, FileList

MOST_IN_PLAN = 4096
"""The largest number of files that a plan names one by one."""


def list_name(part: int) -> str:
    """Return the name of the list of a part of the corpus, beside the plan's document."""
    return f"corpus/{part}.jsonl"


def with_list(part: CorpusPart) -> tuple[CorpusPart, bytes | None]:
    """Return a part as a plan has it, and the list of its files; None if the plan names them."""
    if part.files is None or len(part.files) <= MOST_IN_PLAN:
        return part, None
    content = _content(file.body() for file in part.files)
    listed = FileList(
        count=len(part.files),
        bytes=sum(file.bytes for file in part.files),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    return replace(part, files=None, file_list=listed), content


def as_listed(part: Mapping[str, Any]) -> tuple[Mapping[str, Any], bytes | None]:
    """Return a part of a published plan, as JSON, in the form in which it would be published now, and its list."""
    files = part.get("files") or ()
    if len(files) <= MOST_IN_PLAN:
        return part, None
    content = _content(files)
    listed = {
        "count": len(files),
        "bytes": sum(file["bytes"] for file in files),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return {name: value for name, value in part.items() if name != "files"} | {"file_list": listed}, content


def first_difference(theirs: bytes, ours: bytes) -> str:
    """Return the first line in which two lists of files differ, for a message."""
    pairs = zip(theirs.splitlines(), ours.splitlines(), strict=False)
    number, (there, now) = next(
        ((n, pair) for n, pair in enumerate(pairs, start=1) if pair[0] != pair[1]), (0, (b"", b""))
    )
    if not number:
        return "one list is the beginning of the other"
    old, new = (CorpusFile(**json.loads(line)) for line in (there, now))
    if old.name != new.name:
        return f"file {number} there is {old.name!r}, now {new.name!r}"
    return f"{new.name!r} (file {number}) has other content: there {old.bytes:,} bytes, now {new.bytes:,}"


def _content(files: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(dict(file), sort_keys=True) + "\n" for file in files).encode()
