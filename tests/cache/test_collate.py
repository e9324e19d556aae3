"""Batches for training code of one's own hold what the examples hold, and padding that a model ignores."""

import numpy as np
import pytest
import torch

import miniend
from miniend.cache import collate
from miniend.models.families import IGNORED
from support.tiny_cache import PAIRS, build_tiny_cache


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Ragged pairs with hidden states and draws."""
    signals = "encoder.self,decoder.cross,decoder.hidden@0"
    return miniend.open_cache(
        build_tiny_cache(tmp_path_factory.mktemp("home"), **PAIRS, signals=signals, logits="hybrid")
    )


def test_ids_are_padded_and_masked_as_the_models_forward_takes_them(cache):
    """A label that is padding would be learnt; an input that is padding would be attended to."""
    examples = cache[:6]
    batch = collate(examples, pad_id=7)
    assert set(batch) == {"input_ids", "attention_mask", "labels"}
    for row, example in enumerate(examples):
        valid = batch["attention_mask"][row].bool()
        assert batch["input_ids"][row][valid].tolist() == example.input_ids.tolist()
        assert set(batch["input_ids"][row][~valid].tolist()) <= {7}
        assert batch["labels"][row][batch["labels"][row] != IGNORED].tolist() == example.labels.tolist()
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}
    assert batch["input_ids"].shape == (6, max(len(example.input_ids) for example in examples))


def test_sites_are_named_as_in_the_example_and_padded_each_to_its_own_length(cache):
    """Queries of cross-attention are on the target's axis, keys and values on the input's."""
    examples = cache[:4]
    sites = collate(examples, sites=("encoder.self", "decoder.cross@1", "decoder.hidden"))["sites"]
    assert {name: list(kinds) for name, kinds in sites.items()} == {
        "encoder.self": ["query", "key", "value"],
        "decoder.cross@1": ["query", "key", "value"],
        "decoder.hidden": ["hidden"],
    }
    for row, example in enumerate(examples):
        cross, n, m = example.relations["decoder.cross"], len(example.input_ids), len(example.labels)
        assert np.array_equal(sites["decoder.cross@1"]["query"][row][:m], cross.query)
        assert np.array_equal(sites["decoder.cross@1"]["key"][row][:n], cross.key)
        assert not sites["decoder.cross@1"]["key"][row][n:].any()
        assert np.array_equal(sites["decoder.hidden"]["hidden"][row][:m], example.hidden["decoder.hidden@0"])
    with pytest.raises(KeyError, match=r"no site 'decoder.self' here"):
        collate(examples, sites=("decoder.self",))


def test_the_rows_of_the_logits_are_the_valid_labels_one_example_after_the_other(cache):
    """A row too many, and every later distribution teaches another position."""
    examples = cache[:5]
    batch = collate(examples, logits=True)
    logits, first = batch["logits"], 0
    assert len(logits["tail_mass"]) == int((batch["labels"] != IGNORED).sum())
    total = torch.zeros(len(logits["tail_mass"]))
    total.index_add_(0, logits["head_position"], logits["head_log_probabilities"].exp())
    torch.testing.assert_close(total + logits["tail_mass"], torch.ones_like(total), rtol=0, atol=1e-4)
    for example in examples:
        for position in range(len(example.labels)):
            start, stop = example.logits.head_starts[position : position + 2]
            row = logits["head_position"] == first + position
            assert logits["head_ids"][row].tolist() == example.logits.head_ids[start:stop].tolist()
            start, stop = example.logits.draw_starts[position : position + 2]
            row = logits["draw_position"] == first + position
            assert logits["draw_ids"][row].tolist() == example.logits.draw_ids[start:stop].tolist()
        first += len(example.labels)


def test_logits_that_the_cache_does_not_hold_are_one_line(tmp_path):
    """An AttributeError of None would not say whose fault it is."""
    cache = miniend.open_cache(build_tiny_cache(tmp_path, logits="none", signals="encoder.self"))
    with pytest.raises(ValueError, match="expected examples with lists of next-token distributions"):
        collate(cache[:2], logits=True)
