"""Work that takes at most a hundredth of the time, however long it takes."""

from itertools import pairwise

import pytest

from miniend.runtime.sparingly import Sparingly


@pytest.mark.parametrize("seconds", [1e-4, 0.3, 20.0])
def test_work_takes_a_hundredth_of_the_time_and_is_done_as_often_as_that_allows(monkeypatch, seconds):
    """Between calls that are a millisecond apart."""
    clock, done = [5.0], []
    monkeypatch.setattr("miniend.runtime.sparingly.perf_counter", lambda: clock[0])

    def work():
        clock[0] += seconds
        done.append(clock[0])

    sparingly, calls = Sparingly(), 0
    while len(done) < 4 and calls < 10**7:
        sparingly(work)
        clock[0] += 1e-3
        calls += 1
    assert done[0] == pytest.approx(5.0 + seconds)
    for one, other in pairwise(done):
        assert 100 * seconds <= other - one + 1e-9 <= 100 * seconds + 2.1e-3


def test_work_that_fails_is_tried_again():
    """An error must not look like work that was done."""
    sparingly, tried = Sparingly(), []

    def fails():
        tried.append(1)
        raise OSError("disk")

    for _ in range(2):
        with pytest.raises(OSError, match="disk"):
            sparingly(fails)
    assert len(tried) == 2
