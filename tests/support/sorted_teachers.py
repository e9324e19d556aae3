"""Sorted teachers for the tests of schedules: the teachers of tiny caches, sorted as prune-teacher does."""

import pytest

from miniend.recipes.prune.config import PruneConfig
from miniend.recipes.prune.prune import prune_teacher

__all__ = ["sorted_ragged", "sorted_span"]


def sort_teacher(home, output):
    """The folder of the teacher of a tiny cache, sorted by the gradient on a few examples."""
    config = PruneConfig(
        teacher=str(home / "teacher"),
        cache=home / "cache",
        output=output,
        device="cpu",
        examples=8,
        importance="gradient",
    )
    return prune_teacher(config, lambda _line: None).path


@pytest.fixture(scope="session")
def sorted_span(span_home, tmp_path_factory):
    return sort_teacher(span_home, tmp_path_factory.mktemp("sorted") / "span")


@pytest.fixture(scope="session")
def sorted_ragged(ragged_home, tmp_path_factory):
    return sort_teacher(ragged_home, tmp_path_factory.mktemp("sorted") / "ragged")
