"""The score m of a candidate, in [0, 1], from the validation means of one evaluation.

- `information`: (H - CE) / (H - CE_teacher), clipped, where H is the entropy of the targets' word frequencies;
- `accuracy`: the share of right target tokens, or of pairs of whole targets;
- `kl`: exp(-KL(teacher, candidate)), the mean over target positions.
"""

import math
from collections.abc import Mapping

from ...cache import Cache
from ...errors import CacheMismatchError, ConfigurationError, RunMismatchError
from ...student_train.config import ACCURACY, INFORMATION, KL
from ...student_train.terms.labels import Labels

NEEDED = {INFORMATION: str(Labels.validation_name), ACCURACY: "accuracy", KL: "logits"}
"""The validation mean that a score is made of."""
OTHERS = "choose --score accuracy or --score kl"


def require_score(score: str, cache: Cache) -> None:
    """Raise CacheMismatchError, before any training, if a cache cannot give a score."""
    if not len(cache.validation):
        raise CacheMismatchError(
            f"{cache.path} does not hold validation examples, by which candidates are compared; dump it with some"
        )
    if score == INFORMATION:
        _way(cache)


def score_of(score: str, means: Mapping[str, float], cache: Cache) -> float:
    """Return a candidate's score from its validation means, by name."""
    if NEEDED[score] not in means:
        raise RunMismatchError(
            f"--score {score}: the finished run measured {', '.join(means)}, without {NEEDED[score]}; use another --output"
        )
    value = means[NEEDED[score]]
    if not math.isfinite(value):
        raise ConfigurationError(
            f"the {NEEDED[score]} of a candidate is not finite; train with a lower --learning-rate"
        )
    if score == ACCURACY:
        return value
    if score == KL:
        return math.exp(-max(0.0, value))
    unigram, way = _way(cache)
    return min(1.0, max(0.0, (unigram - value) / way))


def _way(cache: Cache) -> tuple[float, float]:
    """Return H and H - CE_teacher, in nats."""
    if not cache.plan.signals.of_the_teacher:
        raise CacheMismatchError(f"--score {INFORMATION}: {cache.path} holds nothing of its teacher; {OTHERS}")
    unigram = cache.predicting_teacher("schedule").unigram_entropy
    teacher = cache.teacher_cross_entropy("validation")
    if teacher is None or teacher >= unigram:
        raise CacheMismatchError(
            f"--score {INFORMATION}: expected a teacher that beats word frequencies on the validation examples ({unigram:.2f} "
            f"nats), found {'no measurement' if teacher is None else f'{teacher:.2f} nats'}; {OTHERS}"
        )
    return unigram, unigram - teacher
