"""The two ways to put a task: what the model reads, what it starts from, and how it is understood."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from miniend.errors import TrainingError
from miniend.evaluation.checkpoint import load_checkpoint
from miniend.evaluation.protocols.protocols import HeadProtocol, TextProtocol, shorten
from miniend.evaluation.tasks.examples import LabelledExample
from miniend.evaluation.tasks.known import TASKS
from support.tiny_t5 import build_tiny_t5

PAIR = LabelledExample(("lovely great", "awful"), 1.0)


@pytest.fixture(scope="module")
def checkpoint(model_folder):
    return load_checkpoint(str(model_folder))


@pytest.mark.parametrize("kind", ["t5", "mt5", "umt5"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_head_stands_on_the_whole_checkpoint(tmp_path, tokenizer, kind, tied):
    """Every weight of encoder and decoder is the checkpoint's; a random one would cost points and raise nothing."""
    folder = build_tiny_t5(tmp_path / "model", tokenizer, model_type=kind, tied=tied, layers=(1, 2))
    checkpoint = load_checkpoint(str(folder))
    model = HeadProtocol(TASKS["mnli"], checkpoint, 128).fresh_model(0)
    body, pretrained = model.transformer.state_dict(), checkpoint.model.state_dict()
    assert all(torch.equal(tensor, pretrained[name]) for name, tensor in body.items())
    assert set(pretrained) - set(body) == {"lm_head.weight"}
    assert model.transformer.encoder.embed_tokens.weight is model.transformer.shared.weight
    assert model.transformer.decoder.embed_tokens.weight is model.transformer.shared.weight
    ids = torch.tensor([[5, 6, 1]])
    with torch.no_grad():
        state = model.eval().transformer(input_ids=ids, decoder_input_ids=torch.tensor([[0, 5, 6]]))[0][:, -1]
        assert torch.allclose(model(input_ids=ids).logits, model.classification_head(state), atol=1e-6)
    assert model(input_ids=ids).logits.shape == (1, 3)
    assert not model.config.use_cache  # states for generating, which nothing here does


def test_the_head_alone_is_drawn_from_the_seed(checkpoint):
    """And a second model does not start from what the first one learnt."""
    protocol = HeadProtocol(TASKS["sst2"], checkpoint, 128)
    before = checkpoint.model.config.to_dict()
    one, same, other = (protocol.fresh_model(seed) for seed in (1, 1, 2))
    heads = [model.classification_head.dense.weight for model in (one, same, other)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    with torch.no_grad():
        one.transformer.shared.weight.zero_()
    assert torch.equal(same.transformer.shared.weight, checkpoint.model.shared.weight)
    assert checkpoint.model.shared.weight.abs().sum() > 0
    assert checkpoint.model.config.to_dict() == before


def test_the_text_model_is_a_copy_too(checkpoint):
    """Otherwise seed 1 would go on from seed 0."""
    model = TextProtocol(TASKS["sst2"], checkpoint, 128).fresh_model(0)
    with torch.no_grad():
        model.shared.weight.zero_()
    assert checkpoint.model.shared.weight.abs().sum() > 0


def test_the_head_reads_both_texts_each_with_its_end(checkpoint):
    """`a </s> b </s>`, nothing before; a class is a whole number, a similarity is not."""
    protocol = HeadProtocol(TASKS["rte"], checkpoint, 128)
    (feature,) = protocol.features([PAIR], targets=True)
    a, b = checkpoint.encode(list(PAIR.texts))
    assert feature == {"input_ids": [*a, 1, *b, 1], "labels": 1}
    assert isinstance(feature["labels"], int)
    (regression,) = HeadProtocol(TASKS["stsb"], checkpoint, 128).features([PAIR], targets=True)
    assert isinstance(regression["labels"], float)
    assert "labels" not in protocol.features([PAIR], targets=False)[0]


def test_a_text_that_spells_the_end_ends_nothing(checkpoint):
    """transformers' head looks for the last </s>, and stops a training where examples differ in their number."""
    spelt = LabelledExample(("lovely </s> great", "awful <pad>"), 1.0)
    (feature,) = HeadProtocol(TASKS["rte"], checkpoint, 128).features([spelt], targets=False)
    assert feature["input_ids"].count(1) == 2
    assert 0 not in feature["input_ids"]


def test_long_texts_lose_the_ends_of_the_longest(checkpoint):
    """The end marks stay, whatever is cut."""
    long = LabelledExample((" ".join(["lovely"] * 50), "awful"), 1.0)
    (feature,) = HeadProtocol(TASKS["rte"], checkpoint, 16).features([long], targets=False)
    assert len(feature["input_ids"]) == 16
    assert feature["input_ids"].count(1) == 2
    assert feature["input_ids"][-1] == 1
    (prompt,) = TextProtocol(TASKS["rte"], checkpoint, 16).features([long], targets=False)
    assert len(prompt["input_ids"]) == 16
    assert prompt["input_ids"][-1] == 1
    assert prompt["input_ids"][:-1] == checkpoint.encode([TASKS["rte"].prompt(long.texts)], 15)[0]
    assert shorten([[1, 2, 3, 4], [5, 6]], 5) == [[1, 2, 3], [5, 6]]
    assert shorten([[1, 2, 3], [4, 5, 6]], 4) == [[1, 2], [4, 5]]


def test_prompt_and_answer_are_text(checkpoint):
    """As T5 reads and writes them, both ended."""
    example = LabelledExample(("great film",), 1.0)
    (feature,) = TextProtocol(TASKS["sst2"], checkpoint, 128).features([example], targets=True)
    prompt, answer = checkpoint.encode(["sst2 sentence: great film", "positive"])
    assert feature == {"input_ids": [*prompt, 1], "labels": [*answer, 1]}


def test_answers_are_generated_greedily_and_no_longer_than_the_longest(checkpoint):
    """With room for the mark of the end; what follows it is no part of the answer."""
    asked = []
    answers = checkpoint.encode(["negative", "positive"])
    rows = [[0, *ids, 1, *[0] * (9 - len(ids))] for ids in answers]

    def predict(features, **how):
        asked.append((features, how))
        return SimpleNamespace(predictions=np.array(rows))

    examples = [LabelledExample(("a film",), 0.0)] * 2
    protocol = TextProtocol(TASKS["sst2"], checkpoint, 128)
    assert protocol.predict(SimpleNamespace(predict=predict), examples).answers == [0.0, 1.0]
    longest = max(map(len, answers)) + 1
    features = protocol.features(examples, targets=False)
    assert asked == [(features, {"max_new_tokens": longest, "num_beams": 1, "do_sample": False})]


def test_answers_that_are_no_label_count_as_wrong(checkpoint):
    """Whatever the right one is, and they are counted."""
    examples = [LabelledExample(("a",), label) for label in (1.0, 0.0, 1.0, 0.0)]
    found = TextProtocol(TASKS["sst2"], checkpoint, 128).understood(["positive", "negative", "good", ""], examples)
    assert found.answers == [1.0, 0.0, 0.0, 1.0]
    assert found.unreadable == 2
    assert found.texts == ["positive", "negative", "good", ""]


@pytest.mark.parametrize("task", ["sst2", "stsb"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_that_are_not_finite_are_an_error(checkpoint, task, value):
    """The largest of numbers that are not numbers is the first class, and a correlation with them is reported as 0."""
    outputs = np.zeros((3, 1 if task == "stsb" else 2))
    outputs[1] = value
    trainer = SimpleNamespace(predict=lambda some, **_how: SimpleNamespace(predictions=outputs))
    examples = [PAIR if task == "stsb" else LabelledExample(("a",), 1.0)] * 3
    with pytest.raises(TrainingError, match=f"{task}: 1 of 3 predictions are not finite"):
        HeadProtocol(TASKS[task], checkpoint, 32).predict(trainer, examples)
