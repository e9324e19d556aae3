"""Documents that came before are left out, counted, and change nothing else: not the order, not a resumed dump, not its bytes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import miniend
from miniend.data import long_text
from miniend.data.long_text import written
from miniend.errors import CacheMismatchError
from miniend.recipes.repair.verify import verify_cache
from miniend.teacher_dump.corpus.duplicates import DUPLICATE, without_duplicates
from support.tiny_cache import PAIRS, build_tiny_cache
from support.tiny_t5 import tiny_texts

TEXTS = st.sampled_from(["", "a", "b", "ab", "a ", "\ud800"])


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=30))
def test_the_first_of_equal_documents_stays_at_its_place(documents):
    """Against a search through all documents before."""
    found = list(without_duplicates(documents))
    assert len(found) == len(documents)
    for number, (document, kept) in enumerate(zip(documents, found, strict=True)):
        if document in documents[:number]:
            assert all(text is DUPLICATE for text in kept)
        else:
            assert kept is document


def test_a_text_in_a_file_is_the_text_in_memory(monkeypatch):
    """However it is cut into parts; and two texts do not run into each other."""
    monkeypatch.setattr(long_text, "SHORT", 8)
    long = written(["some long", " text"])
    assert not isinstance(long, str)
    found = list(without_duplicates([(long,), ("some long text",), ("some long tex", "t"), ("some long text", "")]))
    assert [one[0] is DUPLICATE for one in found] == [False, True, False, False]


def corpus(folder, pairs):
    """Each text twice to four times, in a mixed order."""
    texts = tiny_texts(60, words=30, seed=5)
    order = np.random.default_rng(2).permutation(np.repeat(np.arange(60), np.arange(60) % 3 + 2))
    rows = [{"text": texts[n], "source": texts[n], "target": texts[-n][:20]} for n in order]
    if not pairs:
        rows = [{"text": row["text"]} for row in rows]
    path = folder / "repeated.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path, len(rows)


@pytest.mark.parametrize("kind", ["spans", "pairs", "texts"])
def test_examples_are_those_of_the_corpus_without_its_duplicates(tmp_path, kind):
    """Grown in small steps, a cache has the examples and the counts of one that grew at once, wherever a step ends."""
    path, count = corpus(tmp_path, kind == "pairs")
    settings = {**(PAIRS if kind == "pairs" else {}), "corpus": str(path), "drop_duplicates": True, "examples": 24}
    if kind == "texts":
        settings |= {"encoder_only": True, "noise_density": 0.15, "logits": None, "top_k": 64}
    caches = [tmp_path / "at-once", tmp_path / "in-steps"]
    for cache in caches:
        cache.mkdir()
        build_tiny_cache(cache, **settings)
    at_once, in_steps = (cache / "cache" for cache in caches)
    lines = []
    for cache, examples in ((in_steps, 29), (in_steps, 33), (in_steps, 40), (at_once, 40)):
        miniend.dump_teacher(cache=cache, examples=examples, log=lambda line: lines.append(str(line)))
    ours, theirs = ([ids_of(example) for example in miniend.open_cache(one)] for one in (at_once, in_steps))
    assert ours == theirs
    if kind != "spans":
        assert len(set(ours)) == 40
    assert any("left out, because the same came before" in line for line in lines), lines
    assert verify_cache(at_once).sound
    counted = miniend.inspect(at_once).packing
    assert counted == miniend.inspect(in_steps).packing
    assert 0 < counted.duplicates < count
    assert miniend.open_cache(at_once).plan.corpus.distinct
    with pytest.raises(CacheMismatchError, match=r"drop.duplicates"):
        miniend.dump_teacher(cache=at_once, drop_duplicates=False, log=lambda _: None)


def ids_of(example):
    """The ids of an example, of all axes."""
    return tuple(tuple(ids.tolist()) for ids in example.ids.values())


def test_without_the_option_they_stay_and_nothing_is_counted(tmp_path):
    """As every cache so far has them."""
    path, _ = corpus(tmp_path, pairs=True)
    cache = build_tiny_cache(tmp_path, **{**PAIRS, "corpus": str(path), "examples": 40})
    opened = miniend.open_cache(cache)
    assert opened.plan.corpus.distinct is None
    assert len({tuple(opened[n].input_ids) for n in range(40)}) < 40
    assert miniend.inspect(cache).packing.duplicates is None
