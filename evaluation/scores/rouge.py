"""ROUGE of summaries by Google's `rouge-score` package, which the T5 and Pegasus papers used.

Scores are F-measures times 100 with Porter's stemmer. Of several references each metric takes the best. Words are runs of a-z and
0-9 in lower case, so a text in another script scores 0.

rougeLsum compares sentence by sentence. The package would download nltk's punkt model to find sentences. Here a sentence ends at
a line break, or at ".", "!" or "?" before a space. So abbreviations end sentences too, but the same rule cuts references and
summaries. ROUGE-1, -2 and -L do not look at sentences.
"""

import re
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from ...errors import ConfigurationError

ROUGE_METRICS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
_WORD = re.compile("[a-z0-9]")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def rouge(references: Sequence[Sequence[str]], summaries: Sequence[str]) -> dict[str, float]:
    """Return the mean over the summaries by metric, in per cent; each summary is compared with all of its references.

    Raises ConfigurationError if rouge-score is not installed.
    """
    scorer = rouge_scorer()
    scores = [
        scorer.score_multi([sentence_lines(reference) for reference in row], sentence_lines(summary))
        for row, summary in zip(references, summaries, strict=True)
    ]
    return {metric: 100.0 * fmean(one[metric].fmeasure for one in scores) for metric in ROUGE_METRICS}


def rouge_scorer() -> Any:
    """Return the package's scorer. Raises ConfigurationError if the package is not installed."""
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise ConfigurationError(f"ROUGE needs rouge-score: pip install 'miniend[eval]' ({error})") from None
    return RougeScorer(ROUGE_METRICS, use_stemmer=True)


def has_words(text: str) -> bool:
    """Return whether ROUGE sees a word in the text."""
    return _WORD.search(text.lower()) is not None


def sentence_lines(text: str) -> str:
    """Return the text with one sentence per line."""
    return _SENTENCE_END.sub("\n", text)
