"""ROUGE of summaries by the `rouge-score` package, Google's, with which the T5 and Pegasus papers were scored.

F-measures times 100 with Porter's stemmer on, of several references the best for each metric. Words are runs of a-z and 0-9 in
lower case, so that a text in another script scores 0.

rougeLsum compares sentence by sentence. The package finds sentences with nltk's punkt model, which it would download; here a
sentence ends at a line break, or at ".", "!" or "?" before a space, in references and summaries alike. Abbreviations end
sentences too then; both sides are cut by the same rule, and ROUGE-1, -2 and -L do not look at sentences.
"""

import re
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from ...errors import ConfigurationError

ROUGE_METRICS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def rouge(references: Sequence[Sequence[str]], summaries: Sequence[str]) -> dict[str, float]:
    """Metric -> mean over the summaries, in per cent; each is held against all of its references.

    Raises ConfigurationError where rouge-score is not installed.
    """
    scorer = rouge_scorer()
    found = [
        scorer.score_multi([sentence_lines(reference) for reference in row], sentence_lines(summary))
        for row, summary in zip(references, summaries, strict=True)
    ]
    return {metric: 100.0 * fmean(one[metric].fmeasure for one in found) for metric in ROUGE_METRICS}


def rouge_scorer() -> Any:
    """The package's scorer. Raises ConfigurationError where it is not installed."""
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise ConfigurationError(f"ROUGE needs rouge-score: pip install 'miniend[eval]' ({error})") from None
    return RougeScorer(ROUGE_METRICS, use_stemmer=True)


def sentence_lines(text: str) -> str:
    """The text with a sentence a line."""
    return _SENTENCE_END.sub("\n", text)
