"""Scores of labels against the formulas that define them, on the same predictions."""

import sys

import numpy as np
import pytest

from miniend.errors import ConfigurationError
from miniend.evaluation.records import ScoreSpread
from miniend.evaluation.scores.scores import score, spread


def counts(labels, predictions):
    """True and false positives, true and false negatives."""
    positive, right = predictions == 1, predictions == labels
    return ((positive & right).sum(), (positive & ~right).sum(), (~positive & right).sum(), (~positive & ~right).sum())


def f1(labels, predictions):
    tp, fp, _, fn = counts(labels, predictions)
    return 2 * tp / (2 * tp + fp + fn)


def matthews(labels, predictions):
    tp, fp, tn, fn = (float(count) for count in counts(labels, predictions))
    return (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))


def pearson(labels, predictions):
    a, b = labels - labels.mean(), predictions - predictions.mean()
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


def ranks(values):
    """Equal values share the mean of their ranks."""
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


@pytest.fixture
def classes():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 200)
    return labels, np.where(generator.random(200) < 0.7, labels, generator.random(200) < 0.8).astype(int)


@pytest.fixture
def similarities():
    """With ties among labels and predictions, as STS-B has."""
    generator = np.random.default_rng(1)
    labels = np.round(generator.random(200) * 25) / 5
    return labels, np.round((labels + generator.normal(size=200)) ** 2, 1)


@pytest.mark.parametrize(("metric", "formula"), [("f1", f1), ("matthews", matthews)])
def test_scores_of_classes_are_their_formulas(classes, metric, formula):
    """F1 is that of the positive class, not a mean over classes."""
    assert score(metric, *classes) == pytest.approx(100 * formula(*classes), abs=1e-9)


def test_accuracy_is_the_share_of_equal_classes(classes):
    """Of two classes and of three."""
    labels, predictions = classes
    assert score("accuracy", labels, predictions) == pytest.approx(100 * (labels == predictions).mean())
    assert score("accuracy", [0, 1, 2, 2], [0, 2, 2, 2]) == 75.0


def test_correlations_are_their_formulas(similarities):
    """Spearman's is Pearson's of the ranks."""
    labels, predictions = similarities
    assert score("pearson", labels, predictions) == pytest.approx(100 * pearson(labels, predictions), abs=1e-9)
    ranked = 100 * pearson(ranks(labels), ranks(predictions))
    assert score("spearman", labels, predictions) == pytest.approx(ranked, abs=1e-9)
    assert abs(ranked - 100 * pearson(labels, predictions)) > 1


@pytest.mark.parametrize("metric", ["pearson", "spearman", "matthews", "f1"])
def test_a_model_that_always_says_the_same_scores_nothing(metric):
    """NaN is no JSON and no number to compare; scipy's warning is no news."""
    assert score(metric, [0, 1, 1, 0], [0, 0, 0, 0]) == 0.0
    assert score(metric, [0], [0]) == 0.0


def test_a_missing_library_is_named(monkeypatch):
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'miniend\[eval\]'"):
        score("accuracy", [0], [0])


def test_the_spread_is_that_of_a_sample():
    """n - 1: three seeds are a sample; one seed has none."""
    assert spread([2.0, 1.0, 4.5]) == ScoreSpread(mean=2.5, std=pytest.approx(3.25**0.5), values=(2.0, 1.0, 4.5))
    assert spread([1.0, 3.0]).std == pytest.approx(2**0.5)
    assert spread([1.0]).std is None
