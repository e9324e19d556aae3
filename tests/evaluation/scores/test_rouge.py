"""ROUGE: by hand, against the package's own calls, and what is a sentence."""

import sys

import pytest
from rouge_score.rouge_scorer import RougeScorer

from miniend.errors import ConfigurationError
from miniend.evaluation.scores.rouge import ROUGE_METRICS, rouge, sentence_lines

REFERENCE = "The cat sat on the mat."
SUMMARY = "The cat lay on a mat today"


def f_measure(common, summary, reference):
    """Harmonic mean of precision and recall, in per cent."""
    return 100 * 2 * common / (summary + reference)


def test_the_scores_are_those_counted_by_hand():
    """Four words in common, of seven and six; "the cat" of six and five pairs; the same four in order."""
    found = rouge([[REFERENCE]], [SUMMARY])
    assert list(found) == ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    assert found["rouge1"] == pytest.approx(f_measure(4, 7, 6))
    assert found["rouge2"] == pytest.approx(f_measure(1, 6, 5))
    assert found["rougeL"] == found["rougeLsum"] == pytest.approx(f_measure(4, 7, 6))


def test_the_order_counts_in_rouge_l_alone():
    """mat, cat: the longest common subsequence is one word."""
    found = rouge([["cat mat"]], ["mat cat"])
    assert (found["rouge1"], found["rouge2"], found["rougeL"]) == (100.0, 0.0, 50.0)


def test_words_are_stemmed_and_their_case_is_nothing():
    """As in the T5 and Pegasus papers."""
    assert rouge([["The Runners running"]], ["the runner runs"])["rouge1"] == pytest.approx(100.0)


def test_a_mean_over_summaries_is_taken():
    """Not a count over all of them."""
    assert rouge([["one"], ["two words"]], ["one", "none at all"])["rouge1"] == 50.0
    assert rouge([["one"]], [""])["rouge1"] == 0.0


def test_of_several_references_the_best_counts_for_each_metric():
    """The first has the words, the second the pairs."""
    references = ["d a c b", "a b x x x x"]
    found = rouge([references], ["a b c d"])
    assert found["rouge1"] == 100.0
    assert found["rouge2"] == pytest.approx(f_measure(1, 3, 5))
    assert found["rouge2"] > rouge([references[:1]], ["a b c d"])["rouge2"]


@pytest.mark.parametrize(
    ("reference", "summary"),
    [
        (REFERENCE, SUMMARY),
        ("Police arrest five people.\nThe mayor resigned yesterday.", "The mayor resigned. Five people were arrested."),
        ("Will it rain? It will! Stay in.", "Stay in: it will rain."),
        ("No sentence end", "Nor here"),
        ("日本", "日本"),
    ],
)
def test_the_scores_are_the_packages_own(reference, summary):
    """The same on the same text; for rougeLsum with the sentences a line each."""
    scorer = RougeScorer(list(ROUGE_METRICS), use_stemmer=True)
    found = rouge([[reference]], [summary])
    whole = scorer.score(reference, summary)
    lines = scorer.score(
        *(text.replace(". ", ".\n").replace("? ", "?\n").replace("! ", "!\n") for text in (reference, summary))
    )
    for metric in ("rouge1", "rouge2", "rougeL"):
        assert found[metric] == pytest.approx(100 * whole[metric].fmeasure)
    assert found["rougeLsum"] == pytest.approx(100 * lines["rougeLsum"].fmeasure)


def test_sentences_may_change_places_in_rouge_lsum():
    """The union of what each sentence shares, whichever side has several; rougeL sees one sentence only."""
    pair = ("Wind blew. Rain fell.", "Rain fell wind blew")
    for reference, summary in (pair, pair[::-1]):
        found = rouge([[reference]], [summary])
        assert (found["rougeL"], found["rougeLsum"]) == (50.0, 100.0)


def test_a_sentence_ends_at_a_stop_or_a_line_break():
    """A number or an address with a point in it goes on."""
    assert sentence_lines("One. Two?  Three!\nFour 1.5 e.g") == "One.\nTwo?\nThree!\nFour 1.5 e.g"


def test_a_missing_library_is_named(monkeypatch):
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(ConfigurationError, match=r"rouge-score: pip install 'miniend\[eval\]'"):
        rouge([["a"]], ["a"])
