"""Pieces of a text have the ids of the whole, for tokenizers of every kind."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from miniend.teacher_dump.corpus import pieces
from miniend.teacher_dump.corpus.pieces import in_pieces
from miniend.teacher_dump.corpus.plain_text import plain_text_encoder
from support.tiny_tokenizer import build_tiny_mt5_tokenizer, build_tiny_tokenizer

TEXTS = ["the cat sat on the mat, and the dog looked at the cat", "Größe x y z"]


def byte_pairs():
    """White space belongs to the word behind it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXTS * 5, trainers.BpeTrainer(vocab_size=300, show_progress=False))
    return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch(texts)]


def whole_sentences():
    """Pieces reach over white space: two words are one id."""
    tokenizer = Tokenizer(models.Unigram([("the cat", -0.5), *((c, -3.0) for c in sorted(set("".join(TEXTS))))], 0))
    return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch(texts)]


ENCODERS = {
    "t5": plain_text_encoder(build_tiny_tokenizer(TEXTS, 200, sentinels=8)),
    "mt5": plain_text_encoder(build_tiny_mt5_tokenizer(TEXTS, 200, sentinels=8)),
    "bytes": byte_pairs(),
    "over white space": whole_sentences(),
}


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
@settings(deadline=None, max_examples=60)
@given(
    text=st.lists(
        st.sampled_from(["the", "cat", "sat", " ", " ", "\n", "  ", "\r\n", "\u0301", "Größe", ","]), max_size=60
    ).map("".join)
)
def test_the_ids_of_the_pieces_are_the_ids_of_the_text(encode, text):
    """Another token at each seam would be noise that nobody sees, and would depend on a constant of ours."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pieces, "PIECE", 20)
        patched.setattr(pieces, "WINDOW", 16)
        parts = list(in_pieces(text, encode))
    assert "".join(parts) == text
    assert [i for ids in encode(parts) for i in ids] == encode([text])[0]


def test_a_long_text_is_cut_where_the_tokenizer_allows_it():
    """Otherwise the test above would pass without a cut."""
    text = "the cat sat " * 20_000
    parts = list(in_pieces(text, ENCODERS["t5"]))
    assert 3 <= len(parts) <= 5
    assert max(map(len, parts)) < pieces.PIECE + 100


def test_where_no_place_is_right_the_rest_stays_whole():
    """For such a tokenizer, and for text without white space, the ids matter more than memory."""
    assert len(list(in_pieces("x" * 200_000, ENCODERS["t5"]))) == 1
    assert len(list(in_pieces("the cat" * 30_000, ENCODERS["over white space"]))) == 1
