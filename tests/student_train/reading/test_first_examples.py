"""The statistics that a loss on states starts from: of the first training examples, whatever the batch size of the run."""

import torch

from miniend.signals.matching.target_statistics import Target
from miniend.student_train.reading import first_examples
from miniend.student_train.reading.first_examples import statistics_of
from miniend.student_train.reading.loader import BatchSource
from miniend.student_train.reading.teacher_signals import Needs, needed_columns

CPU = torch.device("cpu")
TARGETS = [Target("decoder.hidden@1", "hidden"), Target("encoder.self@3", "value")]


def source_of(cache):
    return BatchSource(cache.training, needed_columns(cache, Needs(frozenset(one.site for one in TARGETS))), 0)


def test_they_are_those_of_the_first_examples_as_open_cache_decodes_them(layers, monkeypatch):
    """A mean over padding, or over the validation examples, would be another start."""
    monkeypatch.setattr(first_examples, "FIRST", 16)
    found = statistics_of(layers, source_of(layers), TARGETS, CPU)
    for target in TARGETS:
        kept = [
            layers[number].hidden[target.site]
            if target.tensor == "hidden"
            else layers[number].relations[target.site].value
            for number in range(16)
        ]
        rows = torch.cat([torch.as_tensor(one).double() for one in kept])
        assert found[target].tokens == len(rows)
        torch.testing.assert_close(found[target].mean, rows.mean(0), rtol=1e-4, atol=1e-5)


def test_nothing_is_read_where_no_loss_asks(layers, monkeypatch):
    """Objectives without states must not pay for them at every start."""
    monkeypatch.setattr(first_examples, "in_order", None)
    assert statistics_of(layers, source_of(layers), [], CPU) == {}
