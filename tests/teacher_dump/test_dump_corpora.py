"""Dumps of several corpora and of hub teachers: stopped and started they are the same bytes, changed they are refused by name."""

import json
import re
import shutil
from types import SimpleNamespace

import huggingface_hub
import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

import miniend
from miniend.errors import CacheMismatchError, CheckpointError, ConfigurationError
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.corpus.mixture import parse_mixture
from miniend.teacher_dump.corpus.plain_text import plain_text_encoder
from miniend.teacher_dump.dump import dump_teacher
from miniend.teacher_dump.examples import segments
from support.corpus_files import write_jsonl, write_parquet
from support.spans import restored
from support.tiny_t5 import build_tiny_t5, tiny_texts
from support.tiny_tokenizer import build_tiny_tokenizer

SIZE, SENTINELS = 220, 16
COMMITS = {"v1": "a" * 40, "main": "b" * 40}


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """One teacher, a corpus of JSON lines with some blank documents, and one of parquet."""
    root = tmp_path_factory.mktemp("corpora")
    texts = tiny_texts(160, words=30)
    tokenizer = build_tiny_tokenizer(texts, SIZE, sentinels=SENTINELS)
    rows = [{"text": text, "other": text[::-1]} for text in texts]
    for place in range(3, 110, 7):
        rows[place]["text"] = " \n"
    return SimpleNamespace(
        root=root,
        tokenizer=tokenizer,
        teacher=build_tiny_t5(root / "teacher", tokenizer, layers=(1, 1)),
        corpora=(str(write_jsonl(root / "a.jsonl", rows[:110])), str(write_parquet(root / "b.parquet", rows[110:]))),
    )


def config(material, cache, **changed):
    settings = {
        "teacher": str(material.teacher),
        "corpus": material.corpora,
        "corpus_weight": (2.0, 1.0),
        "shuffle_buffer": 16,
        "examples": 40,
        "validation_examples": 6,
        "calibration_examples": 6,
        "input_length": 32,
        "shard_examples": 16,
        "batch_size": 8,
        "signals": "none",
        "device": "cpu",
        "threads": 1,
    }
    return DumpConfig(cache=cache, **settings | changed)


def dump(material, cache, **changed):
    dump_teacher(config(material, cache, **changed), log=lambda _line: None)
    return cache


@pytest.fixture(scope="module")
def finished(material):
    return dump(material, material.root / "finished")


def contents(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "dump.yaml"
    }


def test_the_examples_are_the_mixed_and_shuffled_documents(material, finished):
    """The order in the cache, put together from the mixture's own stream and the markers' cursors."""
    cache = miniend.open_cache(finished)
    length = cache.plan.task.corrupted.segment_length
    encode = plain_text_encoder(material.tokenizer)
    share, marker = cache.plan.derived.validation_share, finished / "segments" / "validation-000000"
    last = json.loads((marker / "marker.json").read_text())["next"]["document"]
    split = {True: [], False: []}
    documents = [text for (text,) in parse_mixture(config(material, finished)).documents()]
    for index, ids in enumerate(encode(documents)):
        split[segments.is_validation(0, index, share) and index <= last].extend(ids)
    sentinels = range(SIZE - SENTINELS, SIZE)
    for examples, ids in ((cache, split[False]), (cache.validation, split[True])):
        found = [restored(example, sentinels) for example in examples]
        assert found == [ids[i * length : (i + 1) * length] for i in range(len(examples))]


class StopError(Exception):
    """What ends a dump in the middle."""


@pytest.fixture(scope="module")
def in_small_folders(material):
    """A dump that nothing stops, with six segments to a folder."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(segments, "SEGMENTS_PER_FOLDER", 6)
        return dump(material, material.root / "in-small-folders")


@pytest.mark.parametrize("published", [1, 2, 4, 7])
def test_a_mixed_and_shuffled_dump_stopped_among_its_segments_goes_on_to_the_same_bytes(
    material, in_small_folders, tmp_path, monkeypatch, published
):
    """A stream whose order depends on where it was entered would lose some documents and repeat others."""
    monkeypatch.setattr(segments, "SEGMENTS_PER_FOLDER", 6)
    real, calls = segments.publish_or_accept, []

    def publish(*args, **options):
        if len(calls) == published:
            raise StopError
        calls.append(args)
        return real(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(segments, "publish_or_accept", publish)
        with pytest.raises(StopError):
            dump(material, tmp_path / "stopped")
    assert len(list((tmp_path / "stopped" / "segments").iterdir())) == published
    assert contents(dump(material, tmp_path / "stopped")) == contents(in_small_folders)


def test_a_mixed_and_shuffled_dump_grows_into_what_one_large_dump_is(material, tmp_path):
    """Past the end of the smaller corpus, with the buffer full of both."""
    held = {"validation_examples": 30}  # so many that both sizes hold out half of the documents until there are enough
    small = dump(material, tmp_path / "cache", examples=15, **held)
    grown, whole = dump(material, small, examples=55, **held), dump(material, tmp_path / "whole", examples=55, **held)
    one, two = (
        [(e.input_ids.tolist(), e.labels.tolist()) for e in (*cache, *cache.validation)]
        for cache in (miniend.open_cache(grown), miniend.open_cache(whole))
    )
    assert len(one) == 85
    assert one == two


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"corpus_weight": (1.0, 1.0)}, "corpus.parts[1].weight: there 2.0, now 1.0"),
        ({"corpus_weight": ()}, "corpus.parts[1].weight: there 2.0, now 1.0"),
        ({"shuffle_buffer": 17}, "--shuffle-buffer: there 16, now 17"),
        ({"shuffle_buffer": 0}, "--shuffle-buffer: there 16, now 0"),
        ({"seed": 1}, "seed: there 0, now 1"),
        ({"field": ("other",)}, "--field: there ['text'], now ['other']"),
    ],
    ids=str,
)
def test_another_mixture_is_refused_by_what_differs(material, finished, changed, named):
    """Segments of two orders in one cache would repeat some documents and never show others."""
    assert_refused(material, finished, named, **changed)


def assert_refused(material, cache, named, **changed):
    """In one line, and nothing is touched."""
    before = contents(cache)
    with pytest.raises(CacheMismatchError, match=re.escape(named)) as refused:
        dump(material, cache, **changed)
    assert "\n" not in str(refused.value)
    assert contents(cache) == before


def test_other_corpora_are_refused_by_what_differs(material, finished, tmp_path):
    """Their number, their order, their names and their bytes."""
    a, b = material.corpora
    one = {"corpus": a, "corpus_weight": ()}
    assert_refused(material, finished, "--corpus: there 2, now 1 of them", **one)
    swapped = {"corpus": (b, a), "corpus_weight": (1.0, 2.0)}
    assert_refused(material, finished, "--corpus: the same 2 in another order", **swapped)
    renamed = shutil.copy(a, tmp_path / "renamed.jsonl")
    assert_refused(
        material, finished, "files[renamed.jsonl].name: there a.jsonl, now renamed", corpus=(str(renamed), b)
    )
    edited = tmp_path / "a.jsonl"
    edited.write_bytes((material.root / "a.jsonl").read_bytes().replace(b"ba", b"de", 1))
    assert_refused(material, finished, "corpus.parts[1].files[a.jsonl].sha256: there ", corpus=(str(edited), b))
    (tmp_path / "more").mkdir()
    for name in ("a.jsonl", "c.jsonl"):
        shutil.copy(a, tmp_path / "more" / name)
    more = {"corpus": (str(tmp_path / "more" / "*.jsonl"), b)}
    assert_refused(material, finished, "corpus.parts[1].files: there 1, now 2 of them", **more)


def test_the_same_corpora_elsewhere_are_accepted(material, finished, tmp_path):
    """Content decides; a corpus may be moved between two runs."""
    before = contents(finished)
    corpora = tuple(str(shutil.copy(path, tmp_path)) for path in material.corpora)
    assert contents(dump(material, finished, corpus=corpora)) == before


def test_another_tokenizer_of_the_same_size_is_refused(material, finished, tmp_path):
    """Two pieces with their ids exchanged: the same size, the same sentinels, other text."""
    other = shutil.copytree(material.teacher, tmp_path / "teacher")
    described = json.loads((other / "tokenizer.json").read_text())
    vocabulary = described["model"]["vocab"]
    vocabulary[20], vocabulary[21] = vocabulary[21], vocabulary[20]
    (other / "tokenizer.json").write_text(json.dumps(described))
    assert AutoTokenizer.from_pretrained(other).get_vocab() != material.tokenizer.get_vocab()
    assert_refused(material, finished, "tokenizer.digest: there ", teacher=str(other))


def test_other_weights_of_the_teacher_are_refused(material, finished, tmp_path):
    """Trained further and saved in place."""
    other = shutil.copytree(material.teacher, tmp_path / "teacher")
    weights = load_file(other / "model.safetensors")
    weights["decoder.final_layer_norm.weight"][0] += 1e-3
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    assert_refused(material, finished, "teacher.tensor_digest: there ", teacher=str(other))


@pytest.fixture
def hub(material, tmp_path, monkeypatch):
    """A hub cache as huggingface_hub lays it out, with two revisions of owner/tiny, and no network."""
    repository = tmp_path / "hub" / "models--owner--tiny"
    (repository / "refs").mkdir(parents=True)
    for seed, (revision, commit) in enumerate(COMMITS.items()):
        build_tiny_t5(repository / "snapshots" / commit, material.tokenizer, layers=(1, 1), seed=seed)
        (repository / "refs" / revision).write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(repository.parent))


@pytest.mark.usefixtures("hub")
def test_a_hub_teacher_is_loaded_at_the_revision_that_was_asked_for_and_recorded(material, tmp_path):
    """A branch that moves between two runs, or between config, tokenizer and weights, would splice two teachers."""
    caches = {
        asked: dump(material, tmp_path / str(asked), teacher="owner/tiny", teacher_revision=asked)
        for asked in (None, "main", "v1", COMMITS["v1"])
    }
    teachers = {asked: miniend.open_cache(cache).plan.teacher for asked, cache in caches.items()}
    assert {asked: teacher.revision for asked, teacher in teachers.items()} == {
        None: COMMITS["main"],
        "main": COMMITS["main"],
        "v1": COMMITS["v1"],
        COMMITS["v1"]: COMMITS["v1"],
    }
    assert teachers[None] == teachers["main"] != teachers["v1"] == teachers[COMMITS["v1"]]
    gone_on = dump(material, caches["v1"], teacher="owner/tiny")
    assert miniend.open_cache(gone_on).plan.teacher == teachers["v1"], "without a revision, the one of the plan"
    other = {"teacher": "owner/tiny", "teacher_revision": "main"}
    assert_refused(material, caches["v1"], "teacher.tensor_digest: there ", **other)
    with pytest.raises(CheckpointError, match=r"owner/tiny at v9 is neither a folder here"):
        dump(material, tmp_path / "none", teacher="owner/tiny", teacher_revision="v9")


def test_a_commit_that_the_hub_names_is_used_for_everything(monkeypatch, material, tmp_path):
    """Asked online, the hub's answer decides; weights of the branch's next commit must not follow a config of this one."""
    from miniend.models import pretrained
    from miniend.teacher_dump import prepare as module

    asked = []

    def model_info(self, name, revision=None, timeout=None):
        asked.append((name, revision))
        return SimpleNamespace(sha="c" * 40)

    def load_nothing(name, revision=None):
        asked.append((name, revision))
        raise StopError

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    assert pretrained.pin_revision("owner/tiny", "v1") == "c" * 40
    monkeypatch.setattr(module, "read_raw_config", load_nothing)
    with pytest.raises(StopError):
        dump(material, tmp_path / "cache", teacher="owner/tiny", teacher_revision="v2")
    assert asked == [("owner/tiny", "v1"), ("owner/tiny", "v2"), ("owner/tiny", "c" * 40)]


def test_a_revision_of_a_local_teacher_is_refused(material, tmp_path):
    """transformers would ignore it without a word."""
    with pytest.raises(ConfigurationError, match=r"local folder does not have revisions.*leave --teacher-revision out"):
        dump(material, tmp_path / "cache", teacher_revision="v1")
    assert not (tmp_path / "cache").exists()
    assert dump(material, tmp_path / "cache")
    assert miniend.open_cache(tmp_path / "cache").plan.teacher.revision is None


def test_the_same_weights_under_another_name_or_revision_are_the_same_teacher(material, finished, hub, tmp_path):
    """A dump begun with a folder may go on with the hub's copy of it."""
    before = contents(finished)
    moved = shutil.copytree(material.teacher, tmp_path / "renamed")
    assert contents(dump(material, finished, teacher=str(moved))) == before
    by_hub = dump(material, tmp_path / "cache", teacher="owner/tiny", teacher_revision="v1")
    local = huggingface_hub.constants.HF_HUB_CACHE + f"/models--owner--tiny/snapshots/{COMMITS['v1']}"
    assert contents(dump(material, by_hub, teacher=local)) == contents(by_hub)
