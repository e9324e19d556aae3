"""Layer maps: the package's own, and what of a plugin's map is refused."""

import pytest

from miniend.errors import ConfigurationError
from miniend.models.layer_maps import LAYER_MAPS, layer_pairs
from miniend.models.start.teacher_layers import _chosen_layers


@pytest.mark.parametrize(
    ("name", "depths", "pairs"),
    [
        ("last", (2, 5), ((1, 4),)),
        ("uniform", (2, 4), ((0, 1), (1, 3))),
        ("uniform", (3, 12), ((0, 3), (1, 7), (2, 11))),
        ("uniform", (2, 2), ((0, 0), (1, 1))),
    ],
)
def test_a_map_pairs_layers_counted_from_zero(name, depths, pairs):
    """One off, and every student learns from its teacher's neighbour."""
    assert layer_pairs(name, *depths) == pairs


@pytest.fixture
def mapped(monkeypatch):
    """Registers pairs as the map `mine`."""
    return lambda pairs: monkeypatch.setattr(LAYER_MAPS, "_entries", {"mine": lambda _student, _teacher: pairs})


@pytest.mark.parametrize(
    "pairs", [None, (0, 1), ((0, 7), (1, 3)), ((0, -1), (1, 1)), ((2, 0),), ((0, 1, 2),), (("a", 1),)]
)
def test_a_map_to_layers_that_do_not_exist_is_refused(mapped, pairs):
    """A negative layer would count from the end, and nobody would see it."""
    mapped(pairs)
    with pytest.raises(
        ConfigurationError, match="layer map mine: expected pairs of a student layer below 2 and a teacher"
    ):
        layer_pairs("mine", 2, 4)


@pytest.mark.parametrize("pairs", [((0, 1),), ((0, 0), (0, 1)), ((0, 0), (1, 1), (1, 2))])
def test_a_start_needs_one_teacher_layer_for_each_of_its_own(mapped, pairs):
    mapped(pairs)
    with pytest.raises(ConfigurationError, match="needs one teacher layer for each of the student's 2"):
        _chosen_layers("mine", 2, 4)


def test_a_start_follows_the_student_layers_of_the_pairs_in_any_order(mapped):
    """Swapped layers start a student that is worse than its parts, without an error."""
    mapped(((1, 3), (0, 2)))
    assert _chosen_layers("mine", 2, 4) == (2, 3)
