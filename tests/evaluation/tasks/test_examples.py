"""Parts of examples that are drawn, and the digest of all."""

import pytest

from miniend.errors import CorpusError
from miniend.evaluation.tasks.examples import LabelledExample, SummaryExample, TaskData, draw, split_off


def numbered(count):
    return [LabelledExample((str(number),), 0.0) for number in range(count)]


def test_what_is_held_out_is_a_tenth_and_not_trained_on():
    """The same on every call, drawn from everywhere, and never more than a thousand."""
    examples = numbered(200)
    rest, held_out = split_off(examples)
    assert (len(rest), len(held_out)) == (180, 20)
    assert set(rest) | set(held_out) == set(examples)
    assert split_off(examples) == (rest, held_out)
    assert held_out != examples[:20]
    assert [rest, held_out] == [[e for e in examples if e in part] for part in (rest, held_out)]
    assert len(split_off(numbered(20000))[1]) == 1000
    assert len(split_off(numbered(2000), 100)[1]) == 100


def test_too_few_examples_to_hold_any_out_are_refused():
    """The advice is what helps."""
    with pytest.raises(CorpusError, match="single --learning-rate"):
        split_off(numbered(9))


def test_a_draw_is_the_same_every_time():
    """Students are compared on the same examples."""
    examples = numbered(100)
    assert draw(examples, 10) == draw(examples, 10)
    assert len(set(draw(examples, 10))) == 10
    assert draw(examples, 10) != examples[:10]
    assert draw(examples, 10) == [e for e in examples if e in draw(examples, 10)]
    assert draw(examples, 1000) == draw(examples, None) == examples


def test_the_digest_tells_data_apart():
    """A label, a text, or what is in which part."""
    one, other = numbered(2)
    digests = {
        TaskData([one], {"sst2": [other]}).digest(),
        TaskData([other], {"sst2": [one]}).digest(),
        TaskData([one], {"sst2": [LabelledExample(other.texts, 1.0)]}).digest(),
        TaskData([SummaryExample("a", ("b", "c"))], {}).digest(),
        TaskData([SummaryExample("a", ("b",))], {}).digest(),
        TaskData([SummaryExample("a", ("b",)), SummaryExample("a", ("b",))], {}).digest(),
    }
    assert len(digests) == 6
    assert TaskData([one], {"sst2": [other]}).digest() in digests


def test_blank_texts_and_a_development_set_inside_train_are_said():
    """Both give scores that look like any other: of nothing, or of what was learned by heart."""
    train = [LabelledExample(("a", "b"), 0.0), LabelledExample(("c", " "), 1.0)]
    data = TaskData(
        train, {"dev": [train[0], LabelledExample(("b", "a"), 0.0)], "other": [LabelledExample(("x", "y"), 1)]}
    )
    assert list(data.doubts()) == [
        "1 of 2 examples of train have a blank text",
        "1 of 2 examples of the development set dev are also in train",
    ]
    assert list(TaskData([SummaryExample("a", ("b",))], {"dev": [SummaryExample("b", ("b",))]}).doubts()) == []
