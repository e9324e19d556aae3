"""Layer maps: which student layer learns from, or starts as, which teacher layer of a stack.

A map is a function of the two depths only. Layers are counted from 0, and a student layer may occur several times.
"""

from collections.abc import Callable

from ..errors import ConfigurationError
from ..runtime.registry import Registry

LayerMap = Callable[[int, int], tuple[tuple[int, int], ...]]
"""(student's depth, teacher's depth) -> pairs (student layer, teacher layer)."""

LAYER_MAPS: Registry[LayerMap] = Registry(
    "layer map", "a function of the student's depth and the teacher's", lambda _name, entry: callable(entry)
)


def layer_pairs(name: str, student: int, teacher: int) -> tuple[tuple[int, int], ...]:
    """Return the pairs of the layer map of this name.

    Raises ConfigurationError for an unknown name, or if the map returns something else than pairs of layers that exist.
    """
    pairs = LAYER_MAPS[name](student, teacher)
    try:
        fits = all(0 <= own < student and 0 <= theirs < teacher for own, theirs in pairs)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ConfigurationError(
            f"layer map {name}: expected pairs of a student layer below {student} and a teacher layer below {teacher}, "
            f"found {pairs}; correct the map"
        )
    return pairs


@LAYER_MAPS.register("last")
def last(student: int, teacher: int) -> tuple[tuple[int, int], ...]:
    """Map the student's last layer to the teacher's last layer."""
    return ((student - 1, teacher - 1),)


@LAYER_MAPS.register("uniform")
def uniform(student: int, teacher: int) -> tuple[tuple[int, int], ...]:
    """Map layer i of S, counted from 1, to layer i T / S, rounded half up, as DistilBERT (arXiv 1910.01108) starts.

    The last layer maps to the last layer.
    """
    return tuple((i - 1, (2 * i * teacher + student) // (2 * student) - 1) for i in range(1, student + 1))
