"""Pieces of a text have the ids of the whole, for tokenizers of every kind."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from miniend.models.byte_tokenizer import byte_pipeline
from miniend.teacher_dump.corpus import pieces, windows
from miniend.teacher_dump.corpus.pieces import in_pieces
from miniend.teacher_dump.corpus.plain_text import BackendEncoder, plain_text_encoder
from support.tiny_tokenizer import build_tiny_mt5_tokenizer, build_tiny_tokenizer

CHINESE = "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏"
TEXTS = ["the cat sat on the mat, and the dog looked at the cat", "Größe x y z", CHINESE, "ACDEFGHIKLMNPQRSTVWY"]


def trained(pre_tokenizer, seed=0):
    """Byte pairs of words and of text without white space."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoders.ByteLevel()
    draw = random.Random(seed)
    unspaced = ["".join(draw.choices(text.replace(" ", ""), k=200)) for text in TEXTS for _ in range(5)]
    trainer = trainers.BpeTrainer(vocab_size=400, show_progress=False, special_tokens=["<unk>"])
    tokenizer.train_from_iterator(TEXTS * 5 + unspaced, trainer)
    return BackendEncoder(tokenizer)


def whole_sentences():
    """Pieces reach over white space: two words are one id."""
    alphabet = [(c, -3.0) for c in sorted(set("".join(TEXTS)))]
    return BackendEncoder(Tokenizer(models.Unigram([("the cat", -0.5), ("cat", -2.5), ("xxx", -3.5), *alphabet], 0)))


ENCODERS = {
    "t5": plain_text_encoder(build_tiny_tokenizer(TEXTS, 300, sentinels=8)),
    "mt5": plain_text_encoder(build_tiny_mt5_tokenizer(TEXTS, 300, sentinels=8)),
    "bytes with a space before": trained(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "pairs with a mark before": trained(pre_tokenizers.Metaspace()),
    "byt5": BackendEncoder(Tokenizer.from_str(json.dumps(byte_pipeline()))),
    "over white space": whole_sentences(),
}
WORDS = [
    *3 * ["the cat ", "the cat"],
    "the",
    "cat",
    "sat",
    " ",
    " ",
    "\n",
    "  ",
    "\r\n",
    "\u0301",
    "Größe",
    ",",
    "A",
    "CDE",
    "xxx",
    "天",
    "地玄",
    "😀",
]
SMALL = {"PIECE": 64, "REACH": 30, "WINDOW": 16, "LONGEST": 512, "OVERLAP": 48}


def in_small_pieces(text, encode, part=7):
    """Pieces of about 64 characters, of a text that comes in small parts."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in SMALL.items():
            patched.setattr(pieces, name, value)
        patched.setattr(windows, "OVERLAP", SMALL["OVERLAP"])
        return list(in_pieces((text[at : at + part] for at in range(0, len(text), part)), encode))


def ids_of(parts, encode):
    return [i for part in parts for i in (encode([part.text])[0] if part.ids is None else part.ids)]


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 200))
def test_the_ids_of_the_pieces_are_the_ids_of_the_text(encode, seed, count):
    """Another token at each seam would be noise that nobody sees, and would depend on a constant of ours."""
    text = "".join(random.Random(seed).choices(WORDS, k=count))
    parts = in_small_pieces(text, encode)
    if not any(part.unproven for part in parts):
        assert ids_of(parts, encode) == encode([text])[0]


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
@settings(max_examples=60)
@given(
    alphabet=st.sampled_from([CHINESE, "ACDEFGHIKLMNPQRSTVWY", "catsx", "thecat", "0Aa+/", "😀天x\u0301"]),
    seed=st.integers(0, 10**6),
    length=st.integers(0, 1500),
)
def test_the_ids_without_white_space_are_the_ids_of_the_text(encode, alphabet, seed, length):
    """Chinese, FASTA and base64 would take a hundred times their size at once."""
    text = "".join(random.Random(seed).choices(alphabet, k=length))
    parts = in_small_pieces(text, encode)
    if not any(part.unproven for part in parts):
        assert ids_of(parts, encode) == encode([text])[0]


@pytest.mark.parametrize(
    ("name", "alphabet"),
    [
        *[(name, alphabet) for name in ENCODERS for alphabet in (CHINESE, "thecat")],
        ("t5", "ACDEFGHIKLMNPQRSTVWY"),
    ],
)
def test_windows_of_real_text_agree(name, alphabet):
    """Otherwise the tests above would pass with cuts that are not proven. Of real size, and proven."""
    text, encode = "".join(random.Random(0).choices(alphabet, k=200_000)), ENCODERS[name]
    parts = list(in_pieces([text], encode))
    assert len(parts) == 3
    assert not any(part.unproven for part in parts)
    assert ids_of(parts, encode) == encode([text])[0]


def test_windows_meet_in_a_run_of_one_letter():
    """Its tokens are pairs, counted from the first letter of a window: every second place to begin is wrong."""
    encode = BackendEncoder(Tokenizer(models.BPE({"x": 0, "y": 1, "xx": 2}, [("x", "x")])))
    text = "y" + "x" * 1000
    parts = in_small_pieces(text, encode)
    assert len(parts) > 10
    assert not any(part.unproven for part in parts)
    assert ids_of(parts, encode) == encode([text])[0]


def test_a_window_grows_over_what_has_no_joint():
    """Where it begins, the text before it has been told already."""
    letters, encode = "".join(random.Random(0).choices("ACDEFGHIKLMNPQRSTVWY", k=500)), ENCODERS["t5"]
    text = f"{letters}{150 * chr(0x2603)}{letters}"
    parts = in_small_pieces(text, encode)
    assert len(parts) > 5
    assert not any(part.unproven for part in parts)
    assert ids_of(parts, encode) == encode([text])[0]


def test_a_long_text_is_cut_where_the_tokenizer_allows_it():
    """Otherwise the first test would pass without a cut."""
    parts = list(in_pieces(["the cat sat " * 20_000], ENCODERS["t5"]))
    assert 3 <= len(parts) <= 5
    assert max(map(len, parts)) < pieces.PIECE + 100
    assert all(part.ids is None for part in parts)


def test_where_no_windows_agree_the_cut_is_marked():
    """A run of one unknown character is one token, however long it is."""
    parts = list(in_pieces(["\u2603" * 400_000], ENCODERS["t5"]))
    assert [part.unproven for part in parts] == [True, False]
    assert list(in_pieces([], ENCODERS["t5"])) == list(in_pieces([""], ENCODERS["t5"])) == [pieces.Piece("")]
