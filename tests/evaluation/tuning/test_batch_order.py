"""Batches of like length, every example as often as there are epochs, and no drift from long to short."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from miniend.evaluation.tuning.batch_order import WINDOW, by_length, longest_first


def cut(order, size):
    return [order[i : i + size] for i in range(0, len(order), size)]


@given(
    lengths=st.lists(st.integers(1, 128), min_size=1, max_size=200),
    epochs=st.integers(1, 3),
    size=st.integers(1, 9),
    seed=st.integers(0, 5),
)
def test_every_example_is_visited_once_an_epoch(lengths, epochs, size, seed):
    order = by_length(lengths, epochs, size, seed)
    assert sorted(order) == sorted([*range(len(lengths))] * epochs)
    assert by_length(lengths, epochs, size, seed) == order


def test_a_batch_holds_an_example_once():
    """But for one that an epoch left over for the next; sorting would bring an example's visits together."""
    lengths = np.random.default_rng(3).integers(1, 129, 300).tolist()
    batches = cut(by_length(lengths, 5, 32, 0), 32)
    assert sum(len(batch) - len(set(batch)) for batch in batches) < 0.05 * 5 * len(lengths)
    lengths = lengths[:256]  # whole batches, so that nothing is left over
    assert all(len(batch) == len(set(batch)) for batch in cut(by_length(lengths, 5, 32, 0), 32))


def test_the_order_follows_the_seed():
    lengths = list(range(100))
    assert by_length(lengths, 1, 4, 0) != by_length(lengths, 1, 4, 1)


def test_a_batch_holds_examples_of_like_length():
    lengths = np.random.default_rng(3).integers(1, 129, 2048).tolist()
    spans = [max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in cut(by_length(lengths, 2, 32, 0), 32)]
    assert np.mean(spans) < 3 * 128 / WINDOW  # 8 of an even spread; a drawn batch spans 120


def test_lengths_do_not_drift_with_the_steps():
    lengths = np.random.default_rng(3).integers(1, 129, 32 * WINDOW).tolist()
    drifts = []
    for seed in range(200):
        means = [np.mean([lengths[i] for i in batch]) for batch in cut(by_length(lengths, 1, 32, seed), 32)]
        drifts.append(np.corrcoef(np.arange(len(means)), means)[0, 1])
    assert abs(np.mean(drifts)) < 4 / np.sqrt(len(drifts) * (WINDOW - 1))  # four standard errors of chance


def test_what_is_beyond_whole_batches_comes_last_and_is_not_chosen_by_length():
    lengths = list(range(10))
    assert {by_length(lengths, 1, 4, seed)[-1] for seed in range(60)} == set(range(10))


@given(lengths=st.lists(st.integers(0, 9), max_size=40))
def test_predictions_of_the_longest_first_come_back_in_their_own_order(lengths):
    features = [{"input_ids": [0] * length, "number": number} for number, length in enumerate(lengths)]
    seen = []

    def predict(some):
        seen.extend(len(feature["input_ids"]) for feature in some)
        return np.array([[feature["number"], 7.0] for feature in some]).reshape(-1, 2)

    rows = longest_first(features, predict)
    assert seen == sorted(lengths, reverse=True)
    assert rows[:, 0].tolist() == list(range(len(lengths)))
