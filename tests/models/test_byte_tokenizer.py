"""ByT5's bytes as ids."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import ByT5Tokenizer

from miniend.teacher_dump.corpus.tokenizer import TextTokenizer


@pytest.fixture(scope="module", params=["tokenizer_config.json", "config.json"])
def byt5(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("byt5")
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
    stated = {"model_type": "t5", "tokenizer_class": "ByT5Tokenizer"}
    (folder / request.param).write_text(json.dumps(stated))
    return TextTokenizer.load(folder)


@given(text=st.text(max_size=40).filter(lambda text: "\uffff" not in text))
def test_an_id_is_the_byte_and_three(byt5, text):
    """transformers' own class is the judge."""
    [ids] = byt5.encoder()([text])
    assert ids == [byte + 3 for byte in text.encode()]
    assert byt5.tokenizer(text)["input_ids"] == ByT5Tokenizer()(text)["input_ids"]


def test_sentinels_are_the_last_bytes_which_no_text_has(byt5):
    """ByT5 counted its sentinels down from 258. The ids from 259 on were never trained."""
    plan = byt5.describe(sentinels=True)
    assert plan.sentinel_ids == tuple(range(258, 247, -1))
    assert (plan.pad_id, plan.eos_id, plan.size) == (0, 1, 259)
    assert not set(plan.sentinel_ids).intersection(*byt5.encoder()(["\U0010ffffé日a<extra_id_0>"]))
