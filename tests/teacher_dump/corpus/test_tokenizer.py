"""The tokenizer, on small ones built like T5's and mT5's."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from miniend.errors import CheckpointError, TeacherError
from miniend.models.tokenizer import load_fast_tokenizer
from miniend.teacher_dump.corpus.plain_text import UNMATCHABLE, plain_text_encoder
from miniend.teacher_dump.corpus.tokenizer import (
    TextTokenizer,
    check_fits,
    sentinel_ids,
    tokenizer_digest,
)
from support.tiny_tokenizer import build_tiny_mt5_tokenizer, build_tiny_tokenizer

TEXTS = ["the cat sat on the mat, and the dog looked at the cat", "<extra id> x pad /s _0123456789 unk y z", "Größe ▁"]
SPECIAL = ["</s>", "<pad>", "<extra_id_0>", "<extra_id_7>", "▁<extra_id_0>", "▁</s>"]
BUILDERS = {
    "descending": lambda: build_tiny_tokenizer(TEXTS, 200, sentinels=8),
    "ascending": lambda: build_tiny_tokenizer(TEXTS, 200, sentinels=8, ascending=True),
    "mt5": lambda: build_tiny_mt5_tokenizer(TEXTS, 200, sentinels=8),
}


@pytest.fixture(scope="module", params=BUILDERS)
def tokenizer(request):
    return BUILDERS[request.param]()


def forbidden(tokenizer):
    """EOS, padding and the last or first eight ids: everything but <unk> that no text may yield."""
    return {0, 1, *sentinel_ids(tokenizer)}


def test_the_flag_of_transformers_alone_lets_special_ids_through():
    """The reason for `plain_text_encoder`; should this ever fail, transformers has mended it and the copy can go."""
    tokenizer = BUILDERS["descending"]()
    ids = tokenizer("cat </s> <extra_id_0>", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert {1, 199} <= set(ids)


@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("text", ["{}", "the {} cat", "the{}cat", "{}{}", "\n{}\t", " {}", "▁{}", "\u00a0{}\u3000"])
def test_the_names_of_special_tokens_are_plain_text(tokenizer, special, text):
    """A page about T5 would otherwise hold false sentinels, and the targets would no longer match the input."""
    [ids] = plain_text_encoder(tokenizer)([text.format(special, special)])
    assert ids
    assert not forbidden(tokenizer).intersection(ids)


pieces = st.sampled_from(
    [*SPECIAL, *(s[:-1] for s in SPECIAL), " ", "  ", "▁", ">", "<", "the", "cat", "\n", "é", "\u200b"]
)


@given(text=st.lists(pieces, max_size=12).map("".join))
def test_no_text_at_all_yields_a_special_id(text):
    """The same, for whatever else a page may hold."""
    for encode, refused in ENCODERS:
        assert not refused.intersection(*encode([text]))


ENCODERS = [(plain_text_encoder(t), forbidden(t)) for t in (build() for build in BUILDERS.values())]


@given(text=st.text(alphabet="the catsondlkgmz,▁Größ\n\t\u00e9\u3042", max_size=60))
def test_every_other_text_is_encoded_as_the_tokenizer_itself_does(text):
    """The cache must hold what the teacher was trained to read."""
    assert ENCODERS[0][0]([text]) == [ORIGINAL(text, add_special_tokens=False)["input_ids"]]


ORIGINAL = BUILDERS["descending"]()


def test_texts_come_back_in_order_without_truncation_padding_or_eos(recwarn):
    """A tokenizer.json may carry truncation and padding of whoever saved it; long texts must not warn either."""
    tokenizer = build_tiny_tokenizer(TEXTS, 200, sentinels=8)
    tokenizer.model_max_length = 4
    expected = plain_text_encoder(tokenizer)(["the", "", "the cat " * 500])
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=7)
    assert plain_text_encoder(tokenizer)(["the", "", "the cat " * 500]) == expected
    assert [len(ids) for ids in expected] == [1, 0, 1000]
    assert not recwarn.list


def test_a_long_text_says_nothing_on_any_stream(capfd):
    """transformers logs "sequence length is longer than" for every long page, to stderr and not as a warning."""
    tokenizer = build_tiny_tokenizer(TEXTS, 200, sentinels=8)
    tokenizer.model_max_length = 4
    plain_text_encoder(tokenizer)(["the cat " * 500])
    assert capfd.readouterr() == ("", "")


def test_ordinary_added_tokens_stay_single_ids():
    """Words that a teacher's author added are part of its vocabulary, not special."""
    tokenizer = build_tiny_tokenizer(TEXTS, 200, sentinels=8)
    tokenizer.add_tokens(["catdog"])
    assert plain_text_encoder(tokenizer)(["catdog"]) == [[200]]


def test_special_tokens_that_were_added_later_are_plain_text_too():
    """Fine-tuned teachers carry their own."""
    tokenizer = build_tiny_tokenizer(TEXTS, 200, sentinels=8)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<sep>"]})
    [special] = tokenizer("<sep>", add_special_tokens=False)["input_ids"]
    assert special not in plain_text_encoder(tokenizer)(["the <sep> cat"])[0]


@pytest.mark.parametrize("text", ["the <sep> cat", "<extra_id_0> the", "the cat</s>", "a <pad> b"])
def test_in_pairs_special_tokens_are_what_the_teacher_would_see(text):
    """A teacher that was fine-tuned to write `<sep>` would be shown, and asked for, plain text that it has never seen."""
    tokenizer = build_tiny_tokenizer(TEXTS, 200, sentinels=8)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<sep>"]})
    expected = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert set(expected) & {0, 1, 200, *sentinel_ids(tokenizer)}
    assert TextTokenizer(tokenizer, {}).encoder(pairs=True)([text]) == [expected]
    assert TextTokenizer(tokenizer, {}).encoder(pairs=False)([text]) != [expected]


def test_of_pairs_too_texts_come_back_without_truncation_padding_or_eos():
    """What whoever saved the tokenizer had set must not cut an input."""
    tokenizer = build_tiny_tokenizer(TEXTS, 200, sentinels=8)
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=7)
    assert [len(ids) for ids in TextTokenizer(tokenizer, {}).encoder(pairs=True)(["the", "", "the cat " * 500])] == [
        1,
        0,
        1000,
    ]


def test_a_tokenizer_that_keeps_spaces_inside_pieces_does_not_read_special_ids_either():
    """Without a pre-tokenizer, a piece may begin with a space. So the encoder's new names hold more than a space."""
    from tokenizers import pre_tokenizers

    tokenizer = build_tiny_tokenizer(TEXTS, 200, sentinels=8)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([])
    encode = plain_text_encoder(tokenizer)
    for text in ("</s>", " </s>", f"{UNMATCHABLE}</s>", f"cat{UNMATCHABLE}<extra_id_3>"):
        assert not forbidden(tokenizer).intersection(*encode([text]))


def test_sentinels_that_are_ordinary_added_tokens_are_plain_text_too():
    """CodeT5 has its sentinels as added tokens that are not special; the dump was refused for them."""
    tokenizer = build_tiny_tokenizer(TEXTS, 200, sentinels=0)
    tokenizer.add_tokens([f"<extra_id_{k}>" for k in range(99, -1, -1)])
    assert sentinel_ids(tokenizer)[:2] == [299, 298]
    [ids] = plain_text_encoder(tokenizer)(["the cat <extra_id_81> and"])
    assert not set(ids).intersection(range(200, 300))


@pytest.mark.parametrize("written", [str, list], ids=["old files", "new files"])
def test_a_special_token_that_merges_could_spell_is_plain_text_too(written):
    """A BPE vocabulary trained on pages about T5 may spell "</s>" by merges."""
    merges = [("<", "/"), ("</", "s"), ("</s", ">"), ("a", "b")]
    words = ["<pad>", "</s>", "<unk>", *"</s>ab", "</", "</s", "ab"]
    model = {"type": "BPE", "unk_token": "<unk>", "vocab": {word: i for i, word in enumerate(words)}}
    model["merges"] = [" ".join(pair) if written is str else list(pair) for pair in merges]
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    backend = Tokenizer.from_str(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    [ids] = plain_text_encoder(tokenizer)(["</s>ab"])
    assert [words[i] for i in ids] == ["</s", ">", "ab"]


def test_sentinels_come_in_the_order_of_their_names():
    """Counting down from the vocabulary's end is right for T5 alone."""
    assert sentinel_ids(BUILDERS["descending"]()) == list(range(199, 191, -1))
    assert sentinel_ids(BUILDERS["ascending"]()) == list(range(192, 200))
    assert sentinel_ids(BUILDERS["mt5"]()) == list(range(199, 191, -1))


def test_mt5s_own_sentinels_win_over_ones_that_were_added_to_it():
    """transformers can add `<extra_id_k>` behind mT5's pieces: rows that the model has never been trained on."""
    tokenizer = BUILDERS["mt5"]()
    tokenizer.add_special_tokens({"extra_special_tokens": [f"<extra_id_{k}>" for k in range(8)]})
    assert tokenizer.convert_tokens_to_ids("<extra_id_0>") >= 200
    assert sentinel_ids(tokenizer) == list(range(199, 191, -1))


def test_a_tokenizer_without_sentinels_is_refused_where_they_are_needed():
    """Otherwise <unk> would mark every span. Pairs need none."""
    tokenizer = build_tiny_mt5_tokenizer(TEXTS, 200, sentinels=0)
    with pytest.raises(TeacherError, match="expected a tokenizer with the sentinels"):
        sentinel_ids(tokenizer)
    assert TextTokenizer(tokenizer, {}).describe(sentinels=False).sentinel_ids == ()


def test_a_tokenizer_with_more_entries_than_the_teacher_has_rows_is_refused(tokenizer):
    """An id beyond the table is an index error on a CPU and garbage on a GPU."""
    check_fits(tokenizer, 200)
    check_fits(tokenizer, 256)
    with pytest.raises(TeacherError, match="200 entries, but the teacher only 199 rows"):
        check_fits(tokenizer, 199)


@pytest.mark.parametrize("token", ["eos_token", "pad_token"])
def test_a_tokenizer_without_eos_or_padding_is_refused(token):
    """None would become a label."""
    tokenizer = build_tiny_tokenizer(TEXTS, 200, sentinels=8)
    setattr(tokenizer, token, None)
    with pytest.raises(TeacherError, match="does not name the"):
        check_fits(tokenizer, 200)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    """One line instead of transformers' page."""
    with pytest.raises(CheckpointError, match=r"is not a T5-family checkpoint: it is an empty folder") as caught:
        load_fast_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_description_is_what_a_plan_records(tmp_path):
    """The dump takes EOS and sentinels from here and nowhere else."""
    build_tiny_tokenizer(TEXTS, 200, sentinels=8, folder=tmp_path)
    described = TextTokenizer.load(tmp_path).describe(sentinels=True).body()
    assert described.pop("digest") == tokenizer_digest(load_fast_tokenizer(tmp_path))
    assert described == {"size": 200, "eos_id": 1, "pad_id": 0, "sentinel_ids": list(range(199, 191, -1))}


def test_the_tiny_tokenizer_gives_the_text_back():
    """Other tests rely on it being a real tokenizer."""
    tokenizer = build_tiny_tokenizer(TEXTS, 200, sentinels=8)
    assert len(tokenizer) == 200
    assert tokenizer.decode(plain_text_encoder(tokenizer)(["the cat sat"])[0]) == "the cat sat"
    assert tokenizer("the cat")["input_ids"][-1] == 1
