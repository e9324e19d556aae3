"""`--teacher-layer SITE=LAYER`: the teacher's layer that a term compares with, where it is not the usual one."""

import re
from collections.abc import Sequence

from ..errors import ConfigurationError

_FORM = re.compile(r"([a-z][a-z0-9_]*\.[a-z][a-z0-9_]*)=(-?[0-9]{1,6})")
EXPECTED = "expected SITE=LAYER, such as decoder.self=10, or decoder.self=-2 for the last but one"


def parse_teacher_layers(items: Sequence[str]) -> dict[str, int]:
    """Return the layers by name of the site, as they were written: from 0, or negative from the end.

    Raises ConfigurationError for another form, and for a site that is named twice.
    """
    layers: dict[str, int] = {}
    for item in items:
        found = _FORM.fullmatch(item)
        if found is None:
            raise ConfigurationError(f"--teacher-layer {item!r}: {EXPECTED}")
        if found[1] in layers:
            raise ConfigurationError(f"--teacher-layer {item}: {found[1]} has a layer already; name each site once")
        layers[found[1]] = int(found[2])
    return layers
