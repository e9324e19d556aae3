"""Several workers at one list of work: each piece once, and none left behind by one who died."""

from threading import Event, Thread

import pytest

from miniend.recipes.compare.run.sharing import share
from miniend.runtime.claims import Claims


@pytest.fixture
def worker(tmp_path):
    """worker(batches, make, done): let a worker of its own share the batches."""

    def work(batches, make, done):
        with Claims(tmp_path) as claims:
            share(claims, batches, str, lambda piece: piece in done, make)

    return work


def test_two_workers_make_every_piece_once_and_both_return_when_all_are_done(worker):
    done, made, first_begun, second_begun = set(), [], Event(), Event()

    def make(begun, other):
        def one(pieces):
            begun.set()
            assert other.wait(10)  # so that both are at work at the same time
            made.append(pieces)
            done.update(pieces)

        return one

    batches = [["a", "b"], ["c"], ["d", "e"]]
    other = Thread(target=worker, args=(batches, make(second_begun, first_begun), done))
    other.start()
    worker(batches, make(first_begun, second_begun), done)
    assert done == set("abcde")
    other.join(10)
    assert not other.is_alive()
    assert sorted(piece for pieces in made for piece in pieces) == list("abcde")


def test_pieces_of_a_batch_that_another_worker_is_at_are_left_to_it(worker, tmp_path):
    done, made = set(), []

    def make(pieces):
        made.append(pieces)
        done.update(pieces)
        if pieces == ["a", "c"]:
            done.add("b")  # by the other
            others.release("b")

    with Claims(tmp_path) as others:
        assert others.take("b")
        worker([["a", "b", "c"], ["d"]], make, done)
    assert made == [["a", "c"], ["d"]]


def test_what_a_worker_leaves_undone_when_it_dies_is_made_by_the_next(worker, tmp_path):
    done, made = set(), []
    dead = Claims(tmp_path).__enter__()
    assert dead.take("a")

    def make(pieces):
        made.append(pieces)
        done.update(pieces)
        if pieces == ["b"]:
            dead.release("a")

    worker([["a"], ["b"]], make, done)
    assert made == [["b"], ["a"]]


def test_a_piece_that_cannot_be_made_is_tried_once(worker):
    made = []
    worker([["a"]], made.append, done=())
    assert made == [["a"]]


def test_a_piece_whose_making_fails_is_free_for_others(worker, tmp_path):
    def fail(_pieces):
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        worker([["a"]], fail, done=())
    with Claims(tmp_path) as claims:
        assert claims.take("a")
        claims.release("a")
