"""The files of a corpus in a plan: one by one, or where they are many, in a list of their own beside the plan's document.

A plan of 300,000 files would be 50 MB, which every reader of the cache would parse.
"""

import hashlib
import json
from dataclasses import replace

from ...runtime.json_file import parse_json
from ...storage.documents.parse import parse_plain
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
    content = "".join(json.dumps(file.body(), sort_keys=True) + "\n" for file in part.files).encode()
    listed = FileList(
        count=len(part.files),
        bytes=sum(file.bytes for file in part.files),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    return replace(part, files=None, file_list=listed), content


def first_difference(theirs: bytes, ours: bytes) -> str:
    """Return the first line in which two lists of files differ, for a message."""
    pairs = zip(theirs.splitlines(), ours.splitlines(), strict=False)
    number, (there, now) = next(
        ((n, pair) for n, pair in enumerate(pairs, start=1) if pair[0] != pair[1]), (0, (b"", b""))
    )
    if not number:
        return "one list is the beginning of the other"
    try:
        old, new = (parse_plain(CorpusFile, parse_json(line)) for line in (there, now))
    except ValueError:
        return f"line {number} of the list there is not a file"
    if old.name != new.name:
        return f"file {number} there is {old.name!r}, now {new.name!r}"
    return f"{new.name!r} (file {number}) has other content: there {old.bytes:,} bytes, now {new.bytes:,}"
