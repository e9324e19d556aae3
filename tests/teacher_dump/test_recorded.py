"""What a cache knows of its dump: from the plan alone, from dump.yaml, and in an object store."""

import shutil
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from miniend import cli
from miniend.errors import ConfigurationError
from miniend.recipes.repair.verify import verify_cache
from miniend.runtime.given import settle
from miniend.runtime.options import option_of
from miniend.runtime.yaml_file import read_yaml
from miniend.storage.documents.plan import Plan
from miniend.storage.folder import PublishedFolder
from miniend.storage.layout import plan_path
from miniend.storage.survey import OPTIONS_FILE
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from miniend.teacher_dump.examples.span_corruption import lengths
from miniend.teacher_dump.recorded import _of_plan, recorded_dump
from support.fork_server import contents, differences
from support.tiny_cache import PAIRS, build_tiny_cache

SMALL = {"examples": 12, "validation_examples": 4, "shard_examples": 6, "calibration_examples": 8}
KINDS = {
    "spans": {
        "logits": "top-k",
        "top_k": 8,
        "top_p": 0.9,
        "temperatures": (2.0,),
        "signals": ("encoder.self", "decoder.hidden"),
    },
    "pairs": {**PAIRS, "logits": "hybrid", "draws": 7, "prefix": "no: ", "signals": "none"},
    "states": {"logits": "from-hidden", "signals": ("encoder.self", "decoder.hidden")},
}


def made(folder, kind):
    build_tiny_cache(folder, **SMALL, **KINDS[kind], seed=3, relation_kl=3e-3)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A finished cache with its teacher and corpus."""
    return made(tmp_path_factory.mktemp("home"), "spans")


@pytest.fixture
def own(home, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(home, tmp_path / "own")
    text = (tmp_path / "own" / "cache" / OPTIONS_FILE).read_text()
    (tmp_path / "own" / "cache" / OPTIONS_FILE).write_text(text.replace(str(home), str(tmp_path / "own")))
    return tmp_path / "own"


def command(capsys, *arguments):
    capsys.readouterr()
    status = cli.run([*map(str, arguments)])
    said = capsys.readouterr()
    return status, (said.out + said.err).replace("\n  ", " ")  # a long line goes on with an indent


def config_of(home, cache):
    """The configuration of a full command without --cache's own knowledge."""
    record = read_yaml(home / "cache" / OPTIONS_FILE, "x")
    return settle(DumpConfig, {**record, "cache": str(cache)}).config


def test_the_cache_is_enough_to_go_on(own, capsys):
    """A dump that was interrupted ends with the bytes that it would have had."""
    unbroken = contents(own / "cache")
    shutil.rmtree(own / "cache" / "shards" / "train-000001")
    shutil.rmtree(own / "cache" / "calibration")
    status, said = command(capsys, "dump-teacher", "--cache", own / "cache")
    assert status == 0, said
    assert f"as {own / 'cache' / OPTIONS_FILE} says: --corpus " in said
    assert contents(own / "cache") == unbroken


def test_the_cache_grows_by_two_options_as_by_all(own, capsys, tmp_path):
    """And its file has the new number, so that a repetition makes as many."""
    shutil.copytree(own / "cache", tmp_path / "other")
    status, said = command(capsys, "dump-teacher", "--cache", own / "cache", "--examples", 20)
    assert (status, "dumped 8 of 24 examples" in said) == (0, True)
    settings = {one.name: getattr(config_of(own, "x"), one.name) for one in fields(DumpConfig)}
    dump_teacher(DumpConfig(**settings | {"examples": 20, "cache": tmp_path / "other"}), log=lambda _line: None)
    assert differences(own / "cache", tmp_path / "other") == []
    assert read_yaml(own / "cache" / OPTIONS_FILE, "x")["examples"] == 20
    assert "already there" in command(capsys, "dump-teacher", "--cache", own / "cache")[1]


def test_a_training_says_that_its_cache_has_grown_and_keeps_its_examples(own, capsys, tmp_path):
    """It would be silent about examples that its user has just paid for."""
    asked = ("train-student", "--output", tmp_path / "student")
    first = ("--cache", own / "cache", "--size", "1L32H", "--objective", "logits", "--steps", 1, "--batch-size", 4)
    status, said = command(capsys, *asked, *first, "--device", "cpu")
    assert status == 0, said
    command(capsys, "dump-teacher", "--cache", own / "cache", "--examples", 20)
    status, said = command(capsys, *asked, "--steps", 2)
    assert status == 0, said
    assert "the run goes on with the 12 examples with which it began; the cache has more by now" in said


def test_the_file_repeats_the_dump_into_another_cache(own, capsys, tmp_path):
    """Byte for byte, the file included."""
    status, said = command(
        capsys, "dump-teacher", "--config", own / "cache" / OPTIONS_FILE, "--cache", tmp_path / "again"
    )
    assert status == 0, said
    assert differences(tmp_path / "again", own / "cache") == []


def test_without_the_file_the_plan_knows_everything_but_where_things_are(own, capsys):
    """A cache that was shared comes without it; its plan says what was asked, to the last option that decides a byte."""
    (own / "cache" / OPTIONS_FILE).unlink()
    status, said = command(capsys, "dump-teacher", "--cache", own / "cache")
    assert status == 2
    assert "missing options '--corpus' and '--teacher'" in said
    assert "only by its content" in said
    sources = ("--teacher", own / "teacher", "--corpus", next(own.glob("*.jsonl")))
    status, said = command(capsys, "dump-teacher", "--cache", own / "cache", *sources)
    assert (status, "already there" in said) == (0, True)
    assert command(capsys, "dump-teacher", "--cache", own / "cache")[0] == 0


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_plan_knows_every_option_that_decides_a_byte(home, tmp_path, kind):
    """An option that it does not give back has its default, and the dump is refused as another one."""
    home = home if kind == "spans" else made(tmp_path, kind)
    plan = PublishedFolder(plan_path(home / "cache"), "plan").parsed(Plan)
    known = settle(DumpConfig, {**_of_plan(plan), "teacher": "t", "corpus": "c", "cache": "x", "examples": 9}).config
    asked = config_of(home, "x")
    unknown = {"teacher", "corpus", "examples", "threads", "device", "split"}
    if plan.signals.logits.kind != "top-k":
        unknown |= {"top_k"}
    for one in fields(DumpConfig):
        if option_of(one) and one.name not in unknown:
            ours, theirs = getattr(known, one.name), getattr(asked, one.name)
            if one.name == "signals":
                ours, theirs = (
                    ",".join(known.sites),
                    ",".join(asked.sites).replace("encoder.self", "encoder.self@1").replace("hidden", "hidden@1"),
                )
            if one.name in ("task", "logits"):
                ours, theirs = (known.made_by, known.distributions), (asked.made_by, asked.distributions)
            if one.name == "hidden_error":
                ours, theirs = known.hidden_target, asked.hidden_target
            if one.name in ("prefix",):
                assert ours == theirs == (None if plan.task.kind != "pairs" else "no: ")
            assert ours == theirs, one.name


@given(
    st.integers(3, 3000),
    st.floats(0.01, 0.9),
    st.floats(1, 50),
)
def test_an_input_length_of_a_plan_gives_the_same_plan_again(length, density, span):
    """A plan has the length that its examples really have, which may be below what was asked for."""
    try:
        asked = lengths(length, density, span)
    except ConfigurationError:
        assume(False)
    assert lengths(asked.inputs, density, span) == asked


def test_another_option_is_refused_by_its_name_and_the_file_stays(own, capsys):
    """A resume with other options must not overwrite what the cache was made with."""
    before = (own / "cache" / OPTIONS_FILE).read_bytes()
    status, said = command(capsys, "dump-teacher", "--cache", own / "cache", "--seed", 4, "--examples", 50)
    assert (status, "--seed: there 3, now 4" in said) == (2, True)
    status, said = command(capsys, "dump-teacher", "--cache", own / "cache", "--examples", 5)
    assert (status, "expected --examples of at least 12, found 5" in said) == (2, True)
    assert (own / "cache" / OPTIONS_FILE).read_bytes() == before


def test_a_corpus_that_has_moved_is_named_with_its_option(own, capsys, tmp_path):
    """The message must not be about a glob that nobody typed."""
    [corpus] = own.glob("*.jsonl")
    (tmp_path / "moved").mkdir()
    moved = corpus.rename(tmp_path / "moved" / corpus.name)
    status, said = command(capsys, "dump-teacher", "--cache", own / "cache")
    assert status == 2
    assert f"{OPTIONS_FILE} says --corpus {corpus}, and nothing is there" in said
    assert "if it has moved, give --corpus" in said
    assert command(capsys, "dump-teacher", "--cache", own / "cache", "--corpus", moved)[0] == 0
    assert command(capsys, "dump-teacher", "--cache", own / "cache")[0] == 0


def test_verify_and_repair_know_the_file(own, capsys):
    """It is not a stranger, and it says where teacher and corpus are."""
    assert verify_cache(own / "cache").unlisted == []
    shutil.rmtree(own / "cache" / "shards" / "train-000000")
    status, said = command(capsys, "verify", own / "cache", "--repair")
    assert status == 0, said
    unlisted = own / "cache" / "shards" / "train-000000" / "notes.txt"
    unlisted.write_text("x")
    shutil.rmtree(own / "teacher")
    assert command(capsys, "verify", own / "cache", "--repair")[0] == 0
    assert not unlisted.exists()
    (own / "cache" / OPTIONS_FILE).write_text("steps: [")
    assert command(capsys, "verify", own / "cache", "--repair")[0] == 0
    assert verify_cache(own / "cache").sound
    status, said = command(capsys, "dump-teacher", "--cache", own / "cache")
    assert (status, f"{OPTIONS_FILE} is not valid YAML" in said) == (2, True)


def test_a_cache_that_is_not_there_or_something_else_knows_nothing(tmp_path):
    """The first dump into a folder must be asked for in full."""
    (tmp_path / "notes.txt").write_text("x")
    for cache in (tmp_path, tmp_path / "none", tmp_path / "notes.txt"):
        assert recorded_dump({"cache": cache}) is None
    assert recorded_dump({}) is None


def test_a_cache_in_an_object_store_knows_it_too(bucket, tmp_path, capsys):
    """The machine that goes on may be another one."""
    home = tmp_path / "home"
    build_tiny_cache(home, **SMALL)
    config = config_of(home, f"{bucket.url}/tiny")
    dump_teacher(config, log=lambda _line: None)
    assert bucket.contents()["tiny/dump.yaml"] == (home / "cache" / OPTIONS_FILE).read_bytes()
    status, said = command(capsys, "dump-teacher", "--cache", f"{bucket.url}/tiny", "--examples", 14)
    assert (status, "dumped 2 of 18" in said) == (0, True)
    assert b"examples: 14\n" in bucket.contents()["tiny/dump.yaml"]
    assert verify_cache(f"{bucket.url}/tiny").unlisted == []
    assert Path(home).exists()
