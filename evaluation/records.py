"""What an evaluation leaves in its output directory, a JSON document a file, each written whole or not at all.

    OUT/model.json                      which checkpoint and protocol everything here is of
    OUT/facts.json                      its size and speed
    OUT/TASK/settings.json              data and settings of a task
    OUT/TASK/learning-rate-LR.json      score of one learning rate on the part of train that is held out for choosing it
    OUT/TASK/seed-N.json                scores and predictions of one seed on the development sets
    OUT/results.json                    all of it together: mean and standard deviation, GLUE score

A document that is there is never made again, so an evaluation that was interrupted goes on behind the last of them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import RunMismatchError
from ..runtime.durable import write_durably
from ..runtime.identity import ANOTHER_OUTPUT, require_same

MODEL, FACTS, RESULTS, SETTINGS = "model.json", "facts.json", "results.json", "settings.json"
Document = dict[str, Any]


def read_record(path: Path) -> Document | None:
    """A document, or None where there is none. Raises RunMismatchError for a file that is none of ours."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RunMismatchError(f"{path} cannot be read ({error}); remove it, and it is made again") from error
    if not isinstance(document, dict):
        raise RunMismatchError(f"{path} holds no JSON object; remove it, and it is made again")
    return document


def write_record(path: Path, document: Mapping[str, Any]) -> Document:
    """Write a document and return it as it will be read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps(document, indent=1, allow_nan=False) + "\n"
    write_durably(path, content.encode())
    read: Document = json.loads(content)
    return read


def claim(path: Path, ours: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> None:
    """Write what identifies this evaluation, or check that what is there is the same; what stands `beside` it may differ.

    Raises RunMismatchError that names what differs.
    """
    theirs = read_record(path)
    if theirs is None:
        write_record(path, {**(beside or {}), **ours})
        return
    require_same(f"{path.parent} holds another evaluation", theirs, ours, ANOTHER_OUTPUT)
