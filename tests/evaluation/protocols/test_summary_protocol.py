"""Summaries as text: what the model reads, what it learns, and how it is searched."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from miniend.evaluation.checkpoint import load_checkpoint
from miniend.evaluation.protocols.protocols import HeadProtocol, TextProtocol, protocol_for
from miniend.evaluation.protocols.summary_protocol import SummaryProtocol
from miniend.evaluation.tasks.examples import SummaryExample
from miniend.evaluation.tasks.known import TASKS
from miniend.evaluation.tuning.fine_tuning import FineTuning

EXAMPLE = SummaryExample("a lovely\nfilm", ("so\nfine", "another"))


@pytest.fixture(scope="module")
def checkpoint(model_folder):
    return load_checkpoint(str(model_folder))


@pytest.fixture
def predictor(checkpoint, tmp_path):
    """predictor(protocol): a trainer of its fresh model."""

    def build(protocol):
        chosen = {"optimizer": "adamw", "learning_rate": 1e-3, "epochs": 1, "batch_size": 2, "seed": 0, "bf16": False}
        arguments = FineTuning(**chosen, device=torch.device("cpu")).arguments(str(tmp_path), 1)
        return protocol.trainer(protocol.fresh_model(0), arguments, [])

    return build


def test_the_model_reads_the_prefix_and_learns_the_first_reference(checkpoint):
    """As T5 does, each ended; a line break is a space."""
    protocol = SummaryProtocol(checkpoint, 512, 128)
    (feature,) = protocol.features([EXAMPLE], targets=True)
    text, summary = checkpoint.encode(["summarize: a lovely film", "so fine"])
    assert feature == {"input_ids": [*text, 1], "labels": [*summary, 1]}
    assert "labels" not in protocol.features([EXAMPLE], targets=False)[0]


def test_line_breaks_are_spaces_whatever_the_tokenizer(checkpoint):
    """T5's vocabulary has no line break; one that took it for an unknown word would judge articles by their layout."""
    seen = []

    def encode(texts, _longest):
        seen.extend(texts)
        return [[] for _ in texts]

    SummaryProtocol(SimpleNamespace(tokenizer=checkpoint.tokenizer, encode=encode), 64, 12).features([EXAMPLE], True)
    assert seen == ["summarize: a lovely film", "so fine"]


def test_long_texts_and_summaries_lose_their_ends(checkpoint):
    """And keep the mark of theirs."""
    long = SummaryExample("lovely " * 50, ("great " * 50,))
    (feature,) = SummaryProtocol(checkpoint, 20, 10).features([long], targets=True)
    assert (len(feature["input_ids"]), len(feature["labels"])) == (20, 10)
    assert feature["input_ids"][-1] == feature["labels"][-1] == 1
    text, summary = checkpoint.encode(["summarize: " + long.text, *long.references])
    assert feature["input_ids"][:-1] == text[:19]
    assert feature["labels"][:-1] == summary[:9]


def test_summaries_are_searched_by_four_beams(checkpoint, predictor):
    """The same as transformers' own search, example by example, whatever the checkpoint's habits are."""
    examples = [EXAMPLE, SummaryExample("awful", ("x",)), SummaryExample("great fine film", ("x",))]
    protocol = SummaryProtocol(checkpoint, 64, 12)
    found = protocol.predict(predictor(protocol), examples)
    expected = []
    for feature in protocol.features(examples, targets=False):
        ids = torch.tensor([feature["input_ids"]])
        search = {"num_beams": 4, "length_penalty": 0.6, "early_stopping": True, "max_new_tokens": 12}
        ids = checkpoint.model.generate(input_ids=ids, do_sample=False, **search)
        expected += checkpoint.tokenizer.batch_decode(ids, skip_special_tokens=True)
    assert found.answers == expected
    assert found.unreadable == expected.count("") > 0
    assert any(expected)


def test_summaries_of_unequal_length_are_read(checkpoint):
    """transformers fills what batches lack with -100, which is no token."""
    ids = checkpoint.encode(["lovely film"])[0]
    rows = [[0, *ids, 1, -100], [0, *ids, *ids][: len(ids) + 3]]
    asked = []

    def predict(_features, **how):
        asked.append(how)
        return SimpleNamespace(predictions=np.array(rows))

    protocol = SummaryProtocol(checkpoint, 64, 12)
    texts = protocol.predict(SimpleNamespace(predict=predict), [EXAMPLE, EXAMPLE]).answers
    assert texts == ["lovely film", checkpoint.tokenizer.decode(rows[1][1:])]
    search = {"num_beams": 4, "length_penalty": 0.6, "early_stopping": True, "do_sample": False}
    assert asked == [{"max_new_tokens": 12, **search}]


def test_habits_of_the_checkpoint_do_not_count(model_folder, predictor):
    """A published checkpoint may forbid short answers or repetitions, which would be scored as its skill."""
    plain, odd = load_checkpoint(str(model_folder)), load_checkpoint(str(model_folder))
    odd.model.generation_config.update(min_length=9, no_repeat_ngram_size=1, repetition_penalty=3.0)
    found = []
    for checkpoint in (plain, odd):
        protocol = SummaryProtocol(checkpoint, 64, 12)
        found.append(protocol.predict(predictor(protocol), [EXAMPLE]).answers)
    assert found[0] == found[1]
    assert odd.model.generation_config.min_length == 9


def test_each_kind_of_task_has_its_protocol_and_lengths(checkpoint):
    """A summary is text even where a head is asked for."""
    found = {
        (task, name, length): protocol_for(TASKS[task], name, checkpoint, length, 64)
        for task in ("sst2", "xsum")
        for name in ("head", "text")
        for length in (None, 32)
    }
    kinds = {key: type(protocol) for key, protocol in found.items()}
    assert kinds["sst2", "head", None] is HeadProtocol
    assert kinds["sst2", "text", None] is TextProtocol
    assert kinds["xsum", "head", None] is kinds["xsum", "text", None] is SummaryProtocol
    rates = {type(protocol): protocol.learning_rates for protocol in found.values()}
    assert rates.pop(HeadProtocol) == (1e-4, 2e-4, 3e-4)
    assert set(rates.values()) == {(1e-4, 3e-4, 1e-3)}
    settings = {key: protocol.settings for key, protocol in found.items()}
    assert settings["sst2", "head", None] == settings["sst2", "text", None] == {"max_length": 128}
    assert settings["xsum", "text", None] == {"max_length": 512, "max_summary_length": 64}
    assert settings["xsum", "head", 32] == {"max_length": 32, "max_summary_length": 64}
    assert settings["sst2", "text", 32] == {"max_length": 32}
