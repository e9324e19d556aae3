"""What a model card says of the corpus."""

from miniend.student_train.run.card_facts import corpus_line

OBJECTIVE = {"kind": "span-corruption", "input_length": 8, "target_length": 4}


def line(*parts):
    return corpus_line({"corpus": {"parts": [*parts]}, "objective": OBJECTIVE})


def test_the_corpus_is_named_in_a_phrase():
    """A reader of the card must know what a student has read, not in which folder it lay."""
    files = {"kind": "files", "weight": 1.0, "files": [{"name": "a.jsonl"}, {"name": "b.jsonl"}, {"name": "c.jsonl"}]}
    hub = {"kind": "hf", "weight": 3.0, "name": "owner/name"}
    lengths = "(span-corruption, 8 input and 4 target tokens)"
    assert line(files) == f"a.jsonl and 2 more files {lengths}"
    assert line(hub) == f"owner/name {lengths}"
    assert line({"kind": "python-docs", "weight": 1.0}) == f"python-docs {lengths}"
    assert line(hub, files) == f"owner/name (weight 3) + a.jsonl and 2 more files (weight 1) {lengths}"
