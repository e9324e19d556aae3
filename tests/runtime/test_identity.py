"""What differs between the run in a directory and this one."""

import pytest

from miniend.errors import CacheMismatchError, RunMismatchError
from miniend.runtime.identity import MOST_NAMED, different_members, require_same


@pytest.mark.parametrize(
    ("theirs", "ours", "named"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1, "more": 2}, {"a": 1}, []),  # written by another version
        ({}, {"a": None}, []),  # a setting that was left out
        ({}, {"a": 1}, ["a: there None, now 1"]),
        ({"a": [1, 2]}, {"a": (1, 2)}, []),  # JSON knows no tuples
        ({"a": [1, 2]}, {"a": (2, 1)}, ["a: there [1, 2], now [2, 1]"]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, ["a.c: there 2, now 3"]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, ["a.c: there 2, now None"]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, ["a[1].b: there 1, now 2"]),
        ({"a": [{"name": "x", "b": 1}]}, {"a": [{"name": "x", "b": 2}]}, ["a[x].b: there 1, now 2"]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1}, {"b": 2}]}, ["a: there 1, now 2 of them"]),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 2}, {"b": 1}]}, ["a: the same 2 in another order"]),
        ({"a": "x" * 61}, {"a": "y"}, [f"a: there {'x' * 57}..., now y"]),
    ],
)
def test_every_leaf_that_differs_is_named_with_both_values(theirs, ours, named):
    assert different_members(theirs, ours) == named


def test_the_message_says_what_differs_and_what_to_do():
    """Of a hundred differences the first few tell the story."""
    require_same("out holds another run", {"a": 1}, {"a": 1}, "Use another")
    with pytest.raises(RunMismatchError, match=r"^out holds another run: a: there 1, now 2\. Use another$"):
        require_same("out holds another run", {"a": 1}, {"a": 2}, "Use another")
    many = {str(number): number for number in range(10)}
    with pytest.raises(CacheMismatchError) as refused:
        require_same("out holds another dump", {}, many, "Use another", CacheMismatchError)
    assert str(refused.value).count("there None") == MOST_NAMED


def test_a_difference_is_named_as_the_user_types_it_and_what_follows_from_another_is_left_out():
    """`objective.noise: there 38, now 85` names nothing that a command line has; --noise-density decides it."""
    theirs = {"density": 0.1, "noise": 5, "teacher": {"dtype": "f"}, "parts": [{"name": "a", "weight": 1}], "other": 1}
    typed = {
        "density": "--noise-density",
        "teacher": "--teacher",
        "teacher.dtype": "--dtype",
        "parts.weight": "--corpus-weight",
    }

    def said(**ours):
        with pytest.raises(RunMismatchError) as refused:
            require_same("out", theirs, {**theirs, **ours}, "Use it", typed=typed, derived=("noise",))
        return str(refused.value)

    assert said(density=0.2, noise=9) == "out: --noise-density: there 0.1, now 0.2. Use it"
    assert said(noise=9) == "out: noise: there 5, now 9. Use it"
    assert said(teacher={"dtype": "g"}) == "out: --dtype: there f, now g. Use it"
    assert said(teacher={"dtype": "f", "name": "x"}) == "out: teacher.name: there None, now x (--teacher). Use it"
    assert said(parts=[{"name": "a", "weight": 2}]) == "out: parts[a].weight: there 1, now 2 (--corpus-weight). Use it"
    assert said(other=2) == "out: other: there 1, now 2. Use it"
