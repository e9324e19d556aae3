"""Layer maps: the package's own, and what of a plugin's map is refused."""

import pytest
from hypothesis import given
from hypothesis.strategies import integers, sampled_from

from miniend.errors import ConfigurationError
from miniend.models.layer_maps import LAYER_MAPS, layer_pairs
from miniend.models.start.teacher_layers import _chosen_layers

TWELVE = [[layer] for layer in range(1, 13)]
TABLES = {
    (12, 6): {
        "last": {6: [12]},
        "uniform": [[2], [4], [6], [8], [10], [12]],
        "last-k": [[7], [8], [9], [10], [11], [12]],
        "consecutive": [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12]],
        "uniform+last": [[2, 7], [4, 8], [6, 9], [8, 10], [10, 11], [12, 12]],
    },
    (12, 4): {
        "last": {4: [12]},
        "uniform": [[3], [6], [9], [12]],
        "last-k": [[9], [10], [11], [12]],
        "consecutive": [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]],
        "uniform+last": [[3, 9], [6, 10], [9, 11], [12, 12]],
    },
    (12, 5): {
        "last": {5: [12]},
        "uniform": [[2], [5], [7], [10], [12]],
        "last-k": [[8], [9], [10], [11], [12]],
        "consecutive": [[1, 2], [3, 4], [5, 6, 7], [8, 9], [10, 11, 12]],
        "uniform+last": [[2, 8], [5, 9], [7, 10], [10, 11], [12, 12]],
    },
    (12, 12): {
        "last": {12: [12]},
        "uniform": TWELVE,
        "last-k": TWELVE,
        "all": TWELVE,
        "consecutive": TWELVE,
        "uniform+last": [[layer, layer] for layer in range(1, 13)],
    },
    (24, 6): {
        "last": {6: [24]},
        "uniform": [[4], [8], [12], [16], [20], [24]],
        "last-k": [[19], [20], [21], [22], [23], [24]],
        "consecutive": [
            [1, 2, 3, 4],
            [5, 6, 7, 8],
            [9, 10, 11, 12],
            [13, 14, 15, 16],
            [17, 18, 19, 20],
            [21, 22, 23, 24],
        ],
        "uniform+last": [[4, 19], [8, 20], [12, 21], [16, 22], [20, 23], [24, 24]],
    },
    (4, 3): {
        "last": {3: [4]},
        "uniform": [[1], [3], [4]],
        "last-k": [[2], [3], [4]],
        "consecutive": [[1], [2], [3, 4]],
        "uniform+last": [[1, 2], [3, 3], [4, 4]],
    },
}
"""(teacher's depth, student's depth) -> map -> the teacher layers of each student layer, all counted from 1, as in the paper."""
NAMES = ("last", "uniform", "last-k", "all", "consecutive", "uniform+last")
DEPTHS = integers(1, 48)


@pytest.mark.parametrize(
    ("depths", "name"), [(depths, name) for depths, table in TABLES.items() for name in table], ids=str
)
def test_a_map_is_the_table_of_the_paper(depths, name):
    """One off, and every student learns from its teacher's neighbour: int(i T / S) from 0 would never meet the last layer."""
    teacher, student = depths
    table = TABLES[depths][name]
    rows = table if isinstance(table, dict) else dict(enumerate(table, start=1))
    pairs = tuple((own - 1, one - 1) for own, theirs in rows.items() for one in theirs)
    assert layer_pairs(name, student, teacher) == pairs


def test_the_maps_are_the_six_of_the_analysis():
    """One that is missing here is not pinned by any table."""
    assert set(LAYER_MAPS) == set(NAMES)


@given(DEPTHS, DEPTHS, sampled_from(NAMES))
def test_the_last_layer_meets_the_last_and_all_layers_of_a_student_take_part(one, other, name):
    """A student layer without a teacher trains by accident only; some code leaves 5 layers of a teacher of 12 so."""
    student, teacher = sorted((one, other))
    if name == "all":
        teacher = student
    pairs = layer_pairs(name, student, teacher)
    assert pairs[-1] == (student - 1, teacher - 1)
    assert {own for own, _ in pairs} == ({student - 1} if name == "last" else set(range(student)))
    assert [theirs for _, theirs in pairs] == sorted(theirs for _, theirs in pairs) or name == "uniform+last"
    if name == "consecutive":
        assert [theirs for _, theirs in pairs] == list(range(teacher))


@pytest.mark.parametrize("name", ["uniform", "last-k", "consecutive", "uniform+last"])
def test_a_student_that_is_deeper_than_its_teacher_is_refused_by_all_maps_but_the_last(name):
    """Its layers would be paired with layer 0, or with the embedding."""
    with pytest.raises(ConfigurationError, match=r"at most the teacher's 4 layers, found 6; use the map last"):
        layer_pairs(name, 6, 4)
    assert layer_pairs("last", 6, 4) == ((5, 3),)


@pytest.mark.parametrize("depths", [(4, 6), (6, 4)])
def test_the_map_of_all_layers_needs_equal_depths(depths):
    with pytest.raises(ConfigurationError, match="layer map all: expected a student of the teacher's"):
        layer_pairs("all", *depths)


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
