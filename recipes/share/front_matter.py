"""The first lines of a card on the hub, between two lines of three dashes. The license there belongs to the user."""

import re
from typing import Any

import yaml

_BLOCK = re.compile(r"\A---\n(.*?\n)---\n", re.DOTALL)
UNSAID = (None, "", "unknown")
"""The values of `license` that do not say anything."""


def with_license(ours: str, theirs: str) -> str:
    """Return our card with the first lines of the card on the hub, if that one has a license and ours does not."""
    mine, there = _BLOCK.match(ours), _BLOCK.match(theirs)
    if mine and there and _license(mine[1]) in UNSAID and _license(there[1]) not in UNSAID:
        return there[0] + ours[mine.end() :]
    return ours


def _license(block: str) -> Any:
    try:
        members = yaml.safe_load(block)
    except yaml.YAMLError:
        return None
    return members.get("license") if isinstance(members, dict) else None
