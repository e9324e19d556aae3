"""The teacher's signals of a batch: a predicted layer brings the columns of the layers below, and nothing else."""

import numpy as np
import pytest
import torch

import miniend
from miniend.storage.folder import PublishedFolder
from miniend.student_train.reading.loader import BatchSource, in_order
from miniend.student_train.reading.teacher_signals import Needs, build_decoder, needed_columns
from support.tiny_cache import PAIRS, build_tiny_cache

LAYERS = [f"encoder.hidden@{layer}" for layer in range(3)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    signals = ("encoder.hidden@all", "decoder.hidden", "encoder.self")
    path = build_tiny_cache(tmp_path_factory.mktemp("chain"), **PAIRS, signals=signals, logits="none", layers=(3, 1))
    return miniend.open_cache(path)


@pytest.mark.parametrize(
    ("sites", "columns"),
    [
        ([LAYERS[0]], LAYERS[:1]),
        ([LAYERS[1]], LAYERS[:2]),
        ([LAYERS[2], LAYERS[0]], LAYERS),
        (["decoder.hidden@0", LAYERS[1]], [*LAYERS[:2], "decoder.hidden@0"]),
    ],
)
def test_a_layer_is_read_with_exactly_the_layers_below_and_decodes_to_the_examples_own(
    cache, sites, columns, monkeypatch
):
    """Fewer columns cannot be decoded; more are fetched from the hub for nothing."""
    read = set()
    rows = PublishedFolder.rows

    def watched(folder, name, start, stop):
        read.add(name)
        return rows(folder, name, start, stop)

    monkeypatch.setattr(PublishedFolder, "rows", watched)
    needs = Needs(sites=frozenset(sites))
    wanted = needed_columns(cache, needs)
    assert [name for name, _ in wanted.coefficients] == [f"hidden.{name}" for name in columns]
    decoder = build_decoder(cache, needs, torch.device("cpu"))
    [batch] = in_order(BatchSource(cache.validation, wanted, 0), len(cache.validation))
    signals = decoder.decode(batch)
    assert set(signals.sites) == set(sites)
    assert read == {f"hidden.{name}" for name in columns}
    for place, number in enumerate(batch.examples):
        example = cache.validation[int(number)]
        for site in sites:
            found = signals.sites[site]["hidden"][place, : len(example.hidden[site])].numpy()
            np.testing.assert_allclose(found, example.hidden[site], rtol=0, atol=1e-4)


def test_each_layer_is_decoded_once_for_a_batch(cache, monkeypatch):
    """Several students want several layers; decoding the chain for each of them would be quadratic."""
    decoded = []
    kind = type(cache.codecs[LAYERS[0]])
    decode = kind.decode

    def counted(codec, *rest):
        decoded.append(str(codec.site))
        return decode(codec, *rest)

    monkeypatch.setattr(kind, "decode", counted)
    needs = Needs(sites=frozenset(LAYERS))
    decoder = build_decoder(cache, needs, torch.device("cpu"))
    [batch] = in_order(BatchSource(cache.validation, needed_columns(cache, needs), 0), len(cache.validation))
    decoder.decode(batch)
    assert decoded == LAYERS
    del decoded[:]
    example = cache.validation[0]
    for site in LAYERS:
        example.hidden[site]
    assert decoded == LAYERS
