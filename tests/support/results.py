"""What a run leaves for its user, without what depends on the clock, for comparing a broken run with an unbroken one."""

import json
import re

from miniend.runtime.report.writing import HTML, MARKDOWN
from support.runs import metrics

MEASURED = r"(- |<dt>)(date|time|on disk|speed)(: |</dt>)"
"""The facts of a run in a report, in both of its forms, that differ between two runs which do the same."""


def result(output):
    """The content of each file by its path, without clocks."""
    kept = [path for path in sorted(output.rglob("*")) if path.is_file() and "tfevents" not in path.name]
    return {path.relative_to(output).as_posix(): timeless(path) for path in kept}


def timeless(path):
    """The content of a file without what depends on the clock."""
    if path.suffix == ".jsonl":
        return metrics(path.parent)
    if path.name in ("facts.json", "results.json"):  # measured speeds, and a summary of the records beside it
        return b""
    if path.name in (MARKDOWN, HTML):
        return [line for line in path.read_text().splitlines() if not re.match(MEASURED, line)]
    if path.suffix != ".json":
        return path.read_bytes()
    return without_times(json.loads(path.read_bytes()))


def without_times(value):
    """JSON without the members that measure time or memory, and without the digests of those."""
    if not isinstance(value, dict):
        return value
    kept = {key: one for key, one in value.items() if not re.search("second|time|memory|sha256", key)}
    return {key: without_times(one) for key, one in kept.items()}
