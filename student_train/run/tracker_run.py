"""The name and the id by which a tracker knows a pass, kept in an output directory: a resumed pass goes on with its run there."""

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...runtime.durable import write_durably
from ...runtime.json_file import read_json

TRACKER_FILE = "tracker.json"
"""In the first output of a pass: the id by the names of all its outputs, because a student can also be resumed by itself."""
GOING_ON = "wandb"
"""The tracker that can go on with a run whose id its user chose."""


def tracker_settings(outputs: Sequence[Path]) -> Mapping[str, Mapping[str, Any]]:
    """Return by tracker what it is told when a pass starts: the run of an earlier start of the same pass, else a new one.

    Only the main process may call this, with directories that exist. A file that cannot be read is replaced.
    """
    path, names = outputs[0] / TRACKER_FILE, " ".join(output.name for output in outputs)
    try:
        known = dict(read_json(path))
    except (OSError, ValueError, TypeError):
        known = {}
    if not isinstance(known.get(names), str):
        known[names] = secrets.token_hex(8)
        write_durably(path, (json.dumps(known, indent=1) + "\n").encode())
    name = outputs[0].name if len(outputs) == 1 else outputs[0].parent.name
    return {GOING_ON: {"id": known[names], "name": name, "resume": "allow"}}
