"""Scores of predicted labels, in per cent, by scikit-learn and scipy; the spread of any score over seeds.

F1 is for the positive class. Matthews and the correlations are times 100, as in tables of GLUE.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np

from ...errors import ConfigurationError
from ..records import ScoreSpread


def score(metric: str, labels: Sequence[float], predictions: Sequence[float]) -> float:
    """Return one metric of predictions and labels, which are class numbers or similarities, in per cent.

    An undefined metric is 0, as in the T5 code: a correlation if all labels or predictions are equal, F1 if nothing is called
    positive. Raises ConfigurationError if scikit-learn and scipy are not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about constant input, which gives 0 below
            value = METRICS[metric](np.asarray(labels, float), np.asarray(predictions, float))
    except ImportError as error:
        raise ConfigurationError(f"scores need scikit-learn and scipy: pip install 'miniend[eval]' ({error})") from None
    return 100.0 * value if math.isfinite(value) else 0.0


def _accuracy(labels: Any, predictions: Any) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(labels.astype(int), predictions.astype(int)))


def _f1(labels: Any, predictions: Any) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(labels.astype(int), predictions.astype(int), zero_division=0))


def _matthews(labels: Any, predictions: Any) -> float:
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels.astype(int), predictions.astype(int)))


def _pearson(labels: Any, predictions: Any) -> float:
    from scipy.stats import pearsonr

    return _correlation(pearsonr, labels, predictions)


def _spearman(labels: Any, predictions: Any) -> float:
    from scipy.stats import spearmanr

    return _correlation(spearmanr, labels, predictions)


def _correlation(function: Callable[..., Any], labels: Any, predictions: Any) -> float:
    if len(labels) < 2:
        return float("nan")
    return float(function(labels, predictions)[0])


METRICS: dict[str, Callable[[Any, Any], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "matthews": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
}


def spread(values: Sequence[float]) -> ScoreSpread:
    """Return a score over seeds."""
    return ScoreSpread(mean=fmean(values), std=stdev(values) if len(values) > 1 else None, values=tuple(values))
