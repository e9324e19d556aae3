"""Span corruption against a second implementation that was written from the definition, with lists and loops."""

from collections import Counter
from itertools import combinations, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniend.errors import ConfigurationError
from miniend.teacher_dump.examples.span_corruption import (
    SpanLengths,
    corrupt,
    drawn_lengths,
    example_rng,
    lengths,
    lengths_of_segment,
    longest_input,
    noise_mask,
    require_sentinels,
    shortest_segment,
)

EOS = 1
SENTINELS = list(range(32099, 31999, -1))


def naive_corrupt(segment, mask, sentinels, eos):
    """Walk over the tokens; a change of side closes a span."""
    inputs, targets, span = [], [], -1
    for place, (token, noise) in enumerate(zip(segment, mask, strict=True)):
        begins = noise and (place == 0 or not mask[place - 1])
        if begins:
            span += 1
            inputs.append(sentinels[span])
        kept_begins = not noise and (place == 0 or mask[place - 1])
        if kept_begins:
            targets.append(sentinels[span + 1])
        (targets if noise else inputs).append(token)
    return [*inputs, eos], [*targets, eos]


def naive_restore(inputs, targets, sentinels):
    """The raw segment, from both sides: every sentinel of the input is replaced by what follows it in the targets."""
    spans = {}
    for token in targets[:-1]:
        if token in sentinels:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    return [raw for token in inputs[:-1] for raw in (spans[token] if token in sentinels else [token])]


@st.composite
def shapes(draw):
    """(length, noise, spans) that fit together."""
    noise = draw(st.integers(1, 60))
    kept = draw(st.integers(1, 200))
    return noise + kept, noise, draw(st.integers(1, min(noise, kept, 100)))


@pytest.mark.parametrize(
    ("n", "segment", "noise", "spans", "targets"),
    [(128, 141, 21, 7, 29), (256, 284, 43, 14, 58), (512, 568, 85, 28, 114), (1024, 1137, 171, 57, 229)],
)
def test_lengths_are_those_of_t5s_own_helper(n, segment, noise, spans, targets):
    """Otherwise the teacher sees examples of another shape than in its pre-training, and nothing fails."""
    assert lengths(n) == SpanLengths(segment=segment, noise=noise, spans=spans, inputs=n, targets=targets)


@given(n=st.integers(3, 3000), density=st.floats(0.01, 0.5), mean=st.floats(1.5, 20))
def test_inputs_fill_the_asked_length_exactly(n, density, mean):
    """Otherwise examples would need padding, and masks that no loss expects here."""
    found = lengths(n, density, mean)
    assert found.inputs == n
    assert found.targets == found.noise + found.spans + 1
    assert 1 <= found.spans <= min(found.noise, found.segment - found.noise)


@pytest.mark.parametrize(
    ("n", "density", "mean"),
    [(2, 0.15, 3), (0, 0.15, 3), (-5, 0.15, 3), (512, 0, 3), (512, 1, 3), (512, float("nan"), 3), (512, 0.15, 0.5),
     (512, 0.15, float("inf")), (512, 0.9, 1.0)],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(n, density, mean):
    """Otherwise an endless loop, or spans without tokens."""
    with pytest.raises(ConfigurationError):
        lengths(n, density, mean)


def test_a_length_with_more_spans_than_sentinels_is_refused_with_the_longest_that_works():
    """T5's own code wraps round into ordinary pieces of the vocabulary."""
    needed = lengths(2048)
    assert needed.spans == 114
    longest = longest_input(100)
    assert lengths(longest).spans <= 100 < lengths(longest + 1).spans
    with pytest.raises(ConfigurationError, match=rf"114 sentinels, .* has 100; .* {longest}$"):
        require_sentinels(needed, 100)
    require_sentinels(lengths(longest), 100)


@given(sentinels=st.integers(1, 300), density=st.floats(0.05, 0.3), mean=st.floats(1.5, 6))
def test_the_longest_input_is_the_longest(sentinels, density, mean):
    """An error message that names a length which fails again would be worse than none."""
    longest = longest_input(sentinels, density, mean)
    assert lengths(longest, density, mean).spans <= sentinels < lengths(longest + 1, density, mean).spans


@given(shape=shapes(), seed=st.integers(0, 2**32))
def test_a_mask_begins_kept_ends_with_noise_and_has_its_exact_counts(shape, seed):
    """A span more or less shifts every sentinel; a mask that ends kept would need a final sentinel."""
    length, noise, spans = shape
    mask = noise_mask(length, noise, spans, np.random.default_rng(seed))
    assert mask.shape == (length,)
    assert mask.dtype == np.bool_
    assert mask.sum() == noise
    assert not mask[0]
    assert mask[-1]
    assert int((mask[1:] & ~mask[:-1]).sum()) == spans


def test_masks_are_uniform_over_both_compositions():
    """Geometric or biased span lengths would be other data than T5's, with the same counts."""
    rng, draws = np.random.default_rng(0), 12_000
    seen = Counter(tuple(noise_mask(9, 4, 3, rng).tolist()) for _ in range(draws))
    cells = len(list(combinations(range(3), 2))) * len(list(combinations(range(4), 2)))
    assert len(seen) == cells == 18
    chi_square = sum((count - draws / cells) ** 2 / (draws / cells) for count in seen.values())
    assert chi_square < 40.8  # 17 degrees of freedom, p = 0.001


@pytest.mark.parametrize(("length", "noise", "spans"), [(10, 0, 1), (10, 10, 1), (10, 3, 4), (10, 8, 3), (10, 3, 0)])
def test_masks_that_cannot_exist_are_refused(length, noise, spans):
    """Otherwise parts of length zero merge spans silently."""
    with pytest.raises(ConfigurationError):
        noise_mask(length, noise, spans, np.random.default_rng(0))


@given(shape=shapes(), seed=st.integers(0, 2**32))
def test_corruption_agrees_with_the_naive_one_and_can_be_undone(shape, seed):
    """A lost, doubled or displaced token costs every student quality and breaks nothing."""
    length, noise, spans = shape
    rng = np.random.default_rng(seed)
    segment = rng.integers(3, 31000, length).astype(np.int32)
    mask = noise_mask(length, noise, spans, rng)
    inputs, targets = corrupt(segment, mask, SENTINELS, EOS)
    assert inputs.dtype == targets.dtype == np.int32
    assert (inputs.tolist(), targets.tolist()) == naive_corrupt(segment.tolist(), mask.tolist(), SENTINELS, EOS)
    assert naive_restore(inputs.tolist(), targets.tolist(), set(SENTINELS)) == segment.tolist()
    assert (len(inputs), len(targets)) == (length - noise + spans + 1, noise + spans + 1)


def test_a_worked_example_has_sentinels_in_order_no_final_one_and_eos_on_both_sides():
    """The paper's figure closes the targets with one more sentinel; the published models never saw it."""
    mask = np.array([0, 0, 1, 1, 0, 1], dtype=bool)
    inputs, targets = corrupt(np.arange(10, 16), mask, [99, 98, 97], EOS)
    assert inputs.tolist() == [10, 11, 99, 14, 98, EOS]
    assert targets.tolist() == [99, 12, 13, 98, 15, EOS]


def test_corrupt_refuses_more_spans_than_sentinels():
    """Numpy would otherwise broadcast one sentinel over all spans."""
    with pytest.raises(ConfigurationError, match="3 spans, but there are only 1 sentinels"):
        corrupt(np.arange(6), np.array([0, 1, 0, 1, 0, 1], dtype=bool), [99], EOS)


def test_the_generator_is_a_function_of_seed_stream_index_and_pass():
    """Otherwise resumed dumps differ, or validation examples repeat training noise."""
    first = [tuple(example_rng(*key).integers(0, 2**63, 4).tolist()) for key in _keys()]
    again = [tuple(example_rng(*key).integers(0, 2**63, 4).tolist()) for key in reversed(_keys())][::-1]
    assert first == again
    assert len(set(first)) == len(first)


def _keys():
    return [(s, t, i, p) for s in (0, 1, 2**32, 2**40) for t in (0, 1) for i in (0, 1, 2**32) for p in (0, 1)]


def test_the_generator_gives_the_numbers_it_gave_when_caches_were_first_written():
    """A changed key would make a grown cache differ from one written at once."""
    assert example_rng(7, 0, 11).bit_generator.random_raw(2).tolist() == GOLDEN


GOLDEN = [18369567880804765566, 9115749463861939981]


def test_drawn_lengths_depend_on_seed_stream_and_index_only_and_are_equally_likely():
    """A dump that goes on at segment 500 must draw what an unbroken one draws there."""
    whole = list(islice(drawn_lengths(7, 5, 0, 10, 19), 2000))
    assert list(islice(drawn_lengths(7, 5, 500, 10, 19), 100)) == whole[500:600]
    assert whole != list(islice(drawn_lengths(7, 6, 0, 10, 19), 2000))
    found = Counter(whole)
    assert sorted(found) == list(range(10, 20))
    assert max(abs(count - 200) for count in found.values()) < 60  # 4.5 standard deviations


@given(st.integers(3, 60), st.integers(3, 60), st.floats(0.05, 0.9), st.floats(1, 8))
def test_every_length_between_the_shortest_and_the_longest_can_be_corrupted(one, other, density, mean):
    """A length in between that cannot would stop a dump in the middle."""
    try:
        longest = lengths(max(one, other), density, mean)
        shortest = shortest_segment(min(one, other), longest, density, mean)
    except ConfigurationError:
        return
    assert shortest <= longest.segment
    for segment in range(shortest, longest.segment + 1):
        taken = lengths_of_segment(segment, density, mean)
        noise_mask(taken.segment, taken.noise, taken.spans, np.random.default_rng(0))
        assert taken.inputs <= longest.inputs
        assert taken.targets <= longest.targets
