"""Packing with a toy encoder: one id per character, so that every expected segment can be written down."""

from dataclasses import replace
from itertools import accumulate, cycle, islice, pairwise, repeat, takewhile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniend.data import long_text
from miniend.errors import ConfigurationError, CorpusError
from miniend.teacher_dump.corpus import pieces, windows
from miniend.teacher_dump.examples import packing
from miniend.teacher_dump.examples.packing import SegmentCursor, Tally, is_validation, pack_segments, pack_texts
from miniend.teacher_dump.examples.text_form import TextForm

EOS = 1


class Encode:
    """One id per character; `asked` gets every text."""

    def __init__(self, asked=None):
        self.asked = [] if asked is None else asked

    def __call__(self, texts):
        self.asked.extend(texts)
        return [[ord(character) for character in text] for text in texts]

    def tokens(self, text):
        return [(ord(character), place, place + 1) for place, character in enumerate(text)]


encode = Encode()


def pack_pairs(pairs, encode, inputs, targets, *settings, **named):
    """(inputs, targets, cursor of the next) of pairs (index, input, target)."""
    documents = ((index, (source, target)) for index, source, target in pairs)
    for (ids, labels), after in pack_texts(documents, encode, (inputs, targets), *settings, **named):
        yield ids, labels, after


def listed(packed):
    """Comparable: ids as lists."""
    return [tuple(part.tolist() if isinstance(part, np.ndarray) else part for part in item) for item in packed]


texts = st.lists(st.text("abc \x07", max_size=25), max_size=12)
gaps = st.lists(st.integers(1, 3), min_size=12, max_size=12)


def numbered(contents, steps):
    """Documents whose indices ascend with holes, as a filtered corpus has them."""
    index, documents = -1, []
    for text, step in zip(contents, steps, strict=False):
        index += step
        documents.append((index, text))
    return documents


def test_documents_are_joined_without_eos_and_the_remainder_is_dropped():
    """A separator that appears or disappears shifts every later segment."""
    packed = listed(pack_segments([(0, "ab"), (1, "cdefg"), (4, "hi")], encode, repeat(4)))
    assert packed == [
        ([ord(c) for c in "abcd"], SegmentCursor(1, 2)),
        ([ord(c) for c in "efgh"], SegmentCursor(4, 1)),
    ]


cuts = st.lists(st.integers(1, 9), min_size=1, max_size=5)
"""Lengths of segments, which are used again and again."""


def starts_of(lengths):
    """The places of a stream at which segments begin."""
    return accumulate(cycle(lengths), initial=0)


@given(contents=texts, steps=gaps, lengths=cuts)
def test_segments_are_the_stream_cut_into_pieces(contents, steps, lengths):
    """The naive reference: join everything, then cut."""
    stream = [ord(c) for text in contents if text.strip() for c in text]
    places = takewhile(lambda place: place[1] <= len(stream), pairwise(starts_of(lengths)))
    expected = [stream[start:stop] for start, stop in places]
    assert [ids for ids, _ in listed(pack_segments(numbered(contents, steps), encode, cycle(lengths)))] == expected


@given(contents=texts, steps=gaps, lengths=cuts, data=st.data())
def test_packing_from_any_cursor_gives_what_the_unbroken_run_gives(contents, steps, lengths, data):
    """Otherwise a resumed dump repeats or skips tokens without notice."""
    documents = numbered(contents, steps)
    whole = listed(pack_segments(documents, encode, cycle(lengths)))
    if not whole:
        return
    cut = data.draw(st.integers(0, len(whole) - 1))
    rest = islice(cycle(lengths), cut + 1, None)
    assert listed(pack_segments(documents, encode, rest, whole[cut][1])) == whole[cut + 1 :]


@pytest.mark.parametrize("batch", [1, 2, 5, 1000])
def test_the_tokenizer_batch_has_no_influence(monkeypatch, batch):
    """A tuning constant must not decide the bytes of a cache."""
    documents = [(i, "abcdefg" * (i % 4)) for i in range(40)]
    pairs = [(i, "ab" * (i % 3), "cd" * (i % 4)) for i in range(40)]
    segments, examples = (
        listed(pack_segments(documents, encode, repeat(5))),
        listed(pack_pairs(pairs, encode, 4, 5, EOS)),
    )
    monkeypatch.setattr(packing, "BATCH", batch)
    assert listed(pack_segments(documents, encode, repeat(5))) == segments
    assert listed(pack_pairs(pairs, encode, 4, 5, EOS)) == examples


def test_documents_before_the_cursor_are_not_tokenized():
    """Resuming at the end of a long corpus would otherwise cost as much as the first pass."""
    asked = []

    list(pack_segments([(0, "aaaa"), (1, "bbbb"), (2, "cccc")], Encode(asked), repeat(2), SegmentCursor(1, 2)))
    assert asked == ["bbbb", "cccc"]


def test_a_segment_does_not_change_when_the_next_one_is_made():
    """Views into one buffer would make a collected batch wrong."""
    documents = [(0, "abcdefgh")]
    assert [ids.base for ids, _ in pack_segments(documents, encode, repeat(2))] == [None] * 4


@pytest.mark.parametrize("documents", [[(0, "aaaa"), (1, "b")], [(0, "aaaa"), (2, "bbbb")], [(0, "aaaa")]])
def test_a_cursor_that_no_longer_fits_is_refused(documents):
    """A changed corpus or tokenizer would otherwise be spliced onto old segments."""
    with pytest.raises(CorpusError, match="token 3 of document 1"):
        list(pack_segments(documents, encode, repeat(2), SegmentCursor(1, 3)))


@given(contents=texts, steps=gaps, length=st.integers(1, 9), data=st.data())
def test_the_counts_of_parts_are_those_of_the_whole(contents, steps, length, data):
    """A stopped dump would otherwise count some documents twice and others never, and its bytes would differ."""
    documents = numbered(contents, steps)
    whole = Tally()
    made = [replace(whole) for _ in pack_segments(documents, encode, repeat(length), tally=whole)]
    cursors = [cursor for _, cursor in listed(pack_segments(documents, encode, repeat(length)))]
    assert whole.blank == sum(not text.strip() for text in contents)
    assert whole.broken == sum("\x07" in text for text in contents)
    if made:
        cut = data.draw(st.integers(0, len(made) - 1))
        rest = Tally()
        assert len(list(pack_segments(documents, encode, repeat(length), cursors[cut], rest))) == len(made) - cut - 1
        assert (made[cut].blank + rest.blank, made[cut].broken + rest.broken) == (whole.blank, whole.broken)


SMALL = {pieces: {"PIECE": 8, "REACH": 1, "WINDOW": 2, "OVERLAP": 6}, windows: {"OVERLAP": 6, "AGREED": 2}}


@given(contents=texts, steps=gaps, length=st.integers(1, 9), longest=st.integers(2, 12))
def test_long_documents_are_packed_like_short_ones(contents, steps, length, longest):
    """They are on the disk and tokenized in pieces, so that memory does not grow with them."""
    documents, tally = numbered(contents, steps), Tally()
    expected = listed(pack_segments(documents, encode, repeat(length), tally=tally))
    pairs = [(index, text, text[::-1]) for index, text in documents]
    packed = listed(pack_pairs(pairs, encode, longest, 5, EOS, tally=(pair_tally := Tally()), form=TextForm("a")))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(long_text, "SHORT", 3)
        for module, values in SMALL.items():
            for name, value in values.items():
                patched.setattr(module, name, value)
        long = [(index, spooled(text)) for index, text in documents]
        assert any(isinstance(text, long_text.LongText) for _, text in long) == any(len(text) > 3 for text in contents)
        assert listed(pack_segments(long, encode, repeat(length), tally=(other := Tally()))) == expected
        assert other == tally
        for place, (_, cursor) in enumerate(expected, start=1):
            assert listed(pack_segments(long, encode, repeat(length), cursor)) == expected[place:]
        long_pairs = [(index, spooled(source), spooled(target)) for index, source, target in pairs]
        assert (
            listed(pack_pairs(long_pairs, encode, longest, 5, EOS, tally=(other := Tally()), form=TextForm("a")))
            == packed
        )
        assert other == pair_tally


def spooled(text):
    """The text as a reader makes it from parts."""
    writer = long_text.TextWriter()
    for character in text:
        writer.write(character)
    return writer.text()


def test_a_segment_length_below_one_is_refused():
    """Otherwise an endless loop."""
    with pytest.raises(ConfigurationError):
        next(pack_segments([(0, "a")], encode, repeat(0)))


def test_pairs_are_cut_closed_with_eos_and_kept_ragged():
    """Without EOS a student never learns to stop; cutting after EOS would lose it."""
    packed = listed(pack_pairs([(0, "abcdef", "xy"), (3, "a", "xyz")], encode, 4, 3, EOS))
    assert packed == [
        ([97, 98, 99, EOS], [120, 121, EOS], SegmentCursor(1, 0)),
        ([97, EOS], [120, 121, EOS], SegmentCursor(4, 0)),
    ]


def test_a_pair_without_tokens_on_one_side_is_left_out():
    """A target of EOS alone teaches to say nothing."""
    assert [c for *_, c in pack_pairs([(0, "", "x"), (1, "x", ""), (2, "x", "y")], encode, 4, 4, EOS)] == [
        SegmentCursor(3)
    ]


def test_what_pairs_lose_is_counted():
    """Half of the targets may be empty, or all of them cut: with exit status 0 nobody would look."""
    tally = Tally()
    pairs = [(0, " ", "x"), (1, "x", "\n"), (2, "abcd", "xy"), (3, "abc", "xyz"), (4, "a\x00", "x")]
    assert len(list(pack_pairs(pairs, encode, 4, 3, EOS, tally=tally))) == 3
    assert tally == Tally(blank=2, broken=1, cut_inputs=1, cut_targets=1)


def test_a_prefix_stands_before_every_input_and_nothing_else():
    """T5 was trained on "summarize: ..."; a prefix makes no text of a blank input."""
    pairs = [(0, "ab", "x"), (1, " ", "x")]
    [(inputs, targets, _)] = listed(pack_pairs(pairs, encode, 9, 4, EOS, form=TextForm("p:")))
    assert inputs == [*map(ord, "p:ab"), EOS]
    assert targets == [ord("x"), EOS]


@given(contents=texts, steps=gaps, data=st.data())
def test_pairs_from_any_cursor_are_those_of_the_unbroken_run(contents, steps, data):
    """The same promise as for segments."""
    pairs = [(index, text, text[::-1]) for index, text in numbered(contents, steps)]
    whole = listed(pack_pairs(pairs, encode, 9, 5, EOS))
    if not whole:
        return
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert listed(pack_pairs(pairs, encode, 9, 5, EOS, whole[cut][2])) == whole[cut + 1 :]


def test_texts_by_themselves_are_cut_closed_and_counted():
    """An encoder has no targets; what is blank or too long must not vanish without a count."""
    texts = [(0, ("abcdef",)), (1, (" ",)), (4, ("ab",))]
    tally = Tally()
    packed = [
        ([*ids], after) for (ids,), after in pack_texts(texts, encode, (4,), EOS, tally=tally, form=TextForm("p"))
    ]
    assert packed == [([*map(ord, "pab"), EOS], SegmentCursor(1)), ([*map(ord, "pab"), EOS], SegmentCursor(5))]
    assert tally == Tally(blank=1, cut_inputs=1)


def test_pair_lengths_that_hold_no_token_are_refused():
    """Otherwise every example is EOS alone."""
    with pytest.raises(ConfigurationError):
        next(pack_pairs([(0, "a", "b")], encode, 1, 4, EOS))


def test_about_the_asked_share_of_documents_is_held_out_for_every_seed_anew():
    """A share of zero, of everything, or the same documents for all seeds would go unnoticed."""
    chosen = {seed: {i for i in range(20_000) if is_validation(seed, i, 0.05)} for seed in (0, 1)}
    for documents in chosen.values():
        assert 860 < len(documents) < 1140  # 1000 +- 4.5 standard deviations
    assert len(chosen[0] & chosen[1]) < 100
    assert not any(is_validation(0, i, 0.0) for i in range(1000))
    assert all(is_validation(0, i, 1.0) for i in range(1000))


def test_a_larger_share_holds_out_a_superset():
    """Growing the validation part must not move documents back into training."""
    small = {i for i in range(5000) if is_validation(3, i, 0.02)}
    assert small < {i for i in range(5000) if is_validation(3, i, 0.04)}


def test_held_out_documents_are_those_chosen_when_caches_were_first_written():
    """Python's own hash, or a changed one, would move validation documents into training when a cache grows."""
    assert [i for i in range(200) if is_validation(7, i, 0.05)] == GOLDEN


GOLDEN = [58, 64, 82, 96, 124, 142, 153, 176, 192]
