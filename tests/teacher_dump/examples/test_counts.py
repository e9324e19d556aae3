"""What a dump says of text that was lost."""

from miniend.storage.documents.marker import PackingCounts
from miniend.teacher_dump.examples.counts import count_lines, total_counts

NOTHING = {"tokens": 1000, "unknown": 0, "blank": 0, "broken": 0, "cut_inputs": 0, "cut_targets": 0}


def lines(pairs=False, **counts):
    return list(count_lines(PackingCounts(**NOTHING | counts), pairs))


def test_many_unknown_tokens_are_a_warning_and_few_a_number():
    """A Chinese corpus under an English vocabulary is 35 % <unk>, and trains as if nothing were wrong."""
    assert lines(unknown=350)[0].startswith("warning: 35.0% of the corpus's tokens are <unk>")
    assert lines(unknown=10) == ["10 of 1,000 tokens of the corpus are <unk>"]


def test_every_loss_has_its_line_and_a_sound_corpus_none():
    """Lines that always come are not read."""
    assert lines() == list(count_lines(None, pairs=True)) == []
    assert lines(pairs=True, blank=3) == ["3 pairs were left out, because input or target is blank"]
    assert lines(blank=3) == ["3 documents were left out, because they are blank"]
    assert lines(pairs=True, cut_targets=2) == ["0 inputs were cut at --input-length, 2 targets at --target-length"]
    assert lines(cut_inputs=2) == ["2 texts were cut at --input-length"]
    assert "4 documents hold control characters" in lines(broken=4)[0]
    assert lines(unproven=5)[0].startswith("5 cuts inside long documents without white space are not proven")


def test_counts_of_folders_are_added():
    """Each folder of segments has its own."""
    parts = [PackingCounts(**NOTHING | {"blank": n}) for n in (1, 2)]
    assert total_counts(parts) == PackingCounts(**NOTHING | {"tokens": 2000, "blank": 3})
    assert total_counts([]) is None
