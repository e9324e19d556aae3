"""Lists of layers, as they are written after the @ of a site.

    11   -1          one layer, from the first or from the last
    1-5              a range, both ends included
    all              every layer of the stack
    last:6           the last six
    uniform:6        six at equal distances, the last one included (`models/layer_maps.py`)

Several of these with commas between them are their union, as in `1-5,8`.
"""

import re

from ..errors import ConfigurationError
from ..models.layer_maps import uniform

_RANGE = re.compile(r"(-?[0-9]{1,6})(?:-(-?[0-9]{1,6}))?")
_COUNTED = re.compile(r"(last|uniform):([0-9]{1,6})")
FORMS = "a layer such as 11 or -1, a range such as 1-5, all, last:N or uniform:N"
"""The forms of a part of a list, for messages."""


def is_layers(text: str) -> bool:
    """Return whether a text has the form of a part of a list, whatever layers a model has."""
    return text == "all" or bool(_RANGE.fullmatch(text) or _COUNTED.fullmatch(text))


def layers_in(text: str, depth: int, where: str) -> range | tuple[int, ...]:
    """Return the layers of one part of a list, counted from 0, in a stack of `depth` layers; `where` names it in messages.

    Raises ConfigurationError for a text of another form, and for layers that the stack does not have.
    """
    if text == "all":
        return range(depth)
    if counted := _COUNTED.fullmatch(text):
        return _counted(counted[1], int(counted[2]), depth, where)
    ends = _RANGE.fullmatch(text)
    if ends is None:
        raise ConfigurationError(f"site {where!r}: expected {FORMS}, found {text!r}")
    first = _layer(int(ends[1]), depth, where)
    last = first if ends[2] is None else _layer(int(ends[2]), depth, where)
    if last < first:
        raise ConfigurationError(f"site {where!r}: the range {text} ends before it begins; write the lower layer first")
    return range(first, last + 1)


def _counted(name: str, count: int, depth: int, where: str) -> tuple[int, ...]:
    if not 1 <= count <= depth:
        raise ConfigurationError(
            f"site {where!r}: this model has {depth} layers there, so {name}:1 to {name}:{depth}, not {name}:{count}"
        )
    return tuple(range(depth - count, depth)) if name == "last" else tuple(layer for _, layer in uniform(count, depth))


def _layer(number: int, depth: int, where: str) -> int:
    if not -depth <= number < depth:
        raise ConfigurationError(
            f"site {where!r}: this model has {depth} layers there, so 0 to {depth - 1} or -{depth} to -1"
        )
    return number % depth
