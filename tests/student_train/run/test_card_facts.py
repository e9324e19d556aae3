"""What a model card says of the corpus."""

from dataclasses import replace

from miniend.storage.documents.plan import CorpusFile, CorpusPart, HubDataset, Plan
from miniend.student_train.run.card_facts import corpus_line
from support.documents import golden_document


def line(*parts):
    plan = golden_document(Plan)
    task = replace(plan.task, input_length=8, target_length=4)
    return corpus_line(replace(plan, task=task, corpus=replace(plan.corpus, parts=parts)))


def test_the_corpus_is_named_in_a_phrase():
    """A reader of the card must know what a student has read, not in which folder it lay."""
    listed = tuple(CorpusFile(name=f"{name}.jsonl", bytes=1, sha256="0" * 64) for name in "abc")
    files = CorpusPart(kind="files", weight=1.0, files=listed)
    dataset = HubDataset(name="owner/name", config=None, split="train", revision=None)
    hub = CorpusPart(kind="hf", weight=3.0, hub=dataset)
    lengths = "(span-corruption, 8 input and 4 target tokens)"
    assert line(files) == f"a.jsonl and 2 more files {lengths}"
    assert line(hub) == f"owner/name {lengths}"
    assert line(CorpusPart(kind="python-docs", weight=1.0)) == f"python-docs {lengths}"
    assert line(hub, files) == f"owner/name (weight 3) + a.jsonl and 2 more files (weight 1) {lengths}"
