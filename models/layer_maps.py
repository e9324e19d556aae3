"""Layer maps: which student layer learns from, or starts as, which teacher layer of a stack.

A map is a function of the two depths only. Layers are counted from 0, and a student layer may occur several times.

The maps come from the comparative analysis (arXiv 2310.08797): `last` is its Single, `uniform`, `last-k` and `all` are its
1-to-1, `consecutive` and `uniform+last` its 1-to-N. In the formulas below, layers are counted from 1, S is the student's depth
and T the teacher's. Layer S always meets layer T.
"""

from collections.abc import Callable

from ..errors import ConfigurationError
from ..runtime.registry import Registry

Pairs = tuple[tuple[int, int], ...]
"""Pairs (student layer, teacher layer)."""

LayerMap = Callable[[int, int], Pairs]
"""(student's depth, teacher's depth) -> pairs."""

LAYER_MAPS: Registry[LayerMap] = Registry(
    "layer map", "a function of the student's depth and the teacher's", lambda _name, entry: callable(entry)
)


def layer_pairs(name: str, student: int, teacher: int) -> Pairs:
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
def last(student: int, teacher: int) -> Pairs:
    """Map the student's last layer to the teacher's last layer."""
    return ((student - 1, teacher - 1),)


@LAYER_MAPS.register("uniform")
def uniform(student: int, teacher: int) -> Pairs:
    """Map layer i to layer i T / S, rounded half up, as DistilBERT (arXiv 1910.01108) starts.

    Raises ConfigurationError for a student that is deeper than its teacher.
    """
    _require_no_deeper("uniform", student, teacher)
    return tuple((i - 1, (2 * i * teacher + student) // (2 * student) - 1) for i in range(1, student + 1))


@LAYER_MAPS.register("last-k")
def last_k(student: int, teacher: int) -> Pairs:
    """Map layer i to layer T - S + i: the teacher's last S layers.

    Raises ConfigurationError for a student that is deeper than its teacher.
    """
    _require_no_deeper("last-k", student, teacher)
    return tuple((layer, teacher - student + layer) for layer in range(student))


@LAYER_MAPS.register("all")
def every(student: int, teacher: int) -> Pairs:
    """Map layer i to layer i. Raises ConfigurationError unless both are equally deep."""
    if student != teacher:
        raise ConfigurationError(
            f"layer map all: expected a student of the teacher's {teacher} layers, found {student}; use uniform, or another size"
        )
    return tuple((layer, layer) for layer in range(student))


@LAYER_MAPS.register("consecutive")
def consecutive(student: int, teacher: int) -> Pairs:
    """Map layer i to the layers j with floor((i - 1) T / S) < j <= floor(i T / S).

    Every teacher layer occurs once. Where S divides T, these are the groups of T / S layers of the paper. Elsewhere they are
    an even partition, which does not leave a student layer without a teacher (ours). Raises ConfigurationError for
    a student that is deeper than its teacher.
    """
    _require_no_deeper("consecutive", student, teacher)
    return tuple(
        (layer, theirs)
        for layer in range(student)
        for theirs in range(layer * teacher // student, (layer + 1) * teacher // student)
    )


@LAYER_MAPS.register("uniform+last")
def uniform_and_last(student: int, teacher: int) -> Pairs:
    """Map layer i to its layers of `uniform` and of `last-k`, in this order; a pair that is in both occurs twice.

    Raises ConfigurationError for a student that is deeper than its teacher.
    """
    _require_no_deeper("uniform+last", student, teacher)
    return tuple(
        pair for both in zip(uniform(student, teacher), last_k(student, teacher), strict=True) for pair in both
    )


def _require_no_deeper(name: str, student: int, teacher: int) -> None:
    if student > teacher:
        raise ConfigurationError(
            f"layer map {name}: expected a student of at most the teacher's {teacher} layers, found {student}; use the map last, "
            "or another size"
        )
