"""No member of any document can make a command fail otherwise than in one line: every member, missing, of another type, extreme.

Each case changes one member of one document, and seals everything anew, as a stranger could. What `verify` calls sound must
open, decode and train. The members come from real documents, so that new ones are covered.
"""

import contextlib
import io
import json
import shutil
import warnings
from collections import Counter
from functools import partial

import pytest

from miniend import cli
from miniend.storage.reading import PublishedFolder
from miniend.student_train.run.checkpoint import _document_digest
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from support.damage import copy_of, document_of, files_of, folders_of, kind_of, read_everything
from support.limits import bounded
from support.mutations import changes, put
from support.tiny_cache import DUMP, build_tiny_cache

SMALL = {"examples": 4, "validation_examples": 0, "shard_examples": 4, "calibration_examples": 3, "layers": (1, 1)}
STUDENT = ("--size", "1L32H", "--steps", 2, "--batch-size", 2, "--device", "cpu", "--objective", "logits")
TRAINED = 5
"""Of so many sound caches one is trained from."""
EVERY, FEW, SOME = 1, 97, 17
"""Of so many cases one is tried: in the long test, and in the short one."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A cache of every kind of signal, with filters, and a training that is stopped before its last step."""
    root = tmp_path_factory.mktemp("documents")
    build_tiny_cache(root, **SMALL, signals="encoder.self,decoder.hidden", logits="hybrid", codec="pcodec")
    filters = ("--filter-steps", 0, "--batch-size", 2, "--device", "cpu")
    assert call("filters", "--cache", root / "cache", "--teacher", root / "teacher", *filters)[0] == 0
    assert train(root / "cache", root / "student")[0] == 0
    (root / "student" / "model.safetensors").unlink()
    return root


def call(*arguments):
    """The exit status of a command and what it printed. An error that is not one line, or another status, is a fault."""
    return ended_as(lambda: cli.run([str(argument) for argument in arguments]))


def ended_as(run):
    """The same of a function that returns an exit status."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        status = run()
    said = err.getvalue().splitlines()
    assert status in (0, 1) or (status == 2 and len(said) == 1), (status, said)
    return status, out.getvalue() + err.getvalue()


def train(cache, output):
    return call("train-student", "--cache", cache, "--output", output, "--save-every", 1, *STUDENT)


def fault_of(look):
    """What is wrong with the outcome of `look`; None if nothing is."""
    try:
        with bounded():
            look()
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}"
    return None


def report(ended, faults):
    print(f"{sum(ended.values()):,} cases: {dict(ended)}")
    assert not faults, "\n".join(f"{len(words)} times {fault}: {words[:5]}" for fault, words in faults.items())


def tried(cache, every, monkeypatch, only=""):
    """Change every member of every document of a cache, or of some folders; how that ended."""
    ended, faults, number = Counter(), {}, 0
    damage = PublishedFolder.damage
    kept = {folder: (cache / folder / f"{kind_of(folder)}.json") for folder in folders_of(cache)}
    kept = {path: path.read_bytes() for path in kept.values()}

    def look():
        status, _ = call("verify", cache)
        ended["sound" if status == 0 else "named"] += 1
        opened, told = call("inspect", cache)
        if status == 0:
            assert opened == 0, f"verify says sound, but inspect: {told}"
            read_everything(cache)
            if ended["sound"] % TRAINED == 1:
                shutil.rmtree(cache.parent / "trained", ignore_errors=True)
                trained, told = train(cache, cache.parent / "trained")
                assert trained == 0, f"verify says sound, but train-student: {told[-300:]}"

    for folder in [name for name in folders_of(cache) if name.startswith(only)]:
        for words, changed in changes(document_of(cache, folder)):
            number += 1
            if number % every:
                continue
            put(cache, folder, changed)
            listing = words.startswith(
                ("files", "columns")
            )  # nothing else can make a file that we did not change damaged
            monkeypatch.setattr(PublishedFolder, "damage", damage if listing else lambda _self: [])
            if fault := fault_of(look):
                faults.setdefault(fault, []).append(f"{folder}: {words}")
            for path, data in kept.items():
                path.write_bytes(data)
    report(ended, faults)
    return ended


def test_some_members_of_a_caches_documents_end_in_one_line(home, tmp_path, monkeypatch):
    """Every ninety-seventh of the cases below."""
    ended = tried(copy_of(home / "cache", tmp_path / "cache"), FEW, monkeypatch)
    assert min(ended["sound"], ended["named"]) > 0


def test_some_members_of_the_document_of_filters_end_in_one_line(home, tmp_path, monkeypatch):
    """Filters are opened only by who needs them, but a cache that verify calls sound must have sound ones."""
    ended = tried(copy_of(home / "cache", tmp_path / "cache"), SOME, monkeypatch, only="filters")
    assert ended["named"]


@pytest.mark.slow
def test_every_member_of_a_caches_documents_ends_in_one_line(home, tmp_path, monkeypatch):
    """Every member and every replacement."""
    tried(copy_of(home / "cache", tmp_path / "cache"), EVERY, monkeypatch)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A cache that lacks one of its two shards; the settings of its dump."""
    root = tmp_path_factory.mktemp("begun")
    settings = DUMP | {"examples": 4, "validation_examples": 0, "shard_examples": 2, "calibration_examples": 3}
    settings |= {"corpus": str(root / "corpus.jsonl"), "cache": root / "cache", "signals": "encoder.self"}
    build_tiny_cache(root, layers=(1, 1), heads=2, d_kv=16, **settings)
    shutil.rmtree(root / "cache" / "shards" / "train-000001")
    return DumpConfig(teacher=str(root / "teacher"), **settings)


def gone_on(config, command, every, only=""):
    """Go on with every changed plan of a cache, or those whose words start with `only`; how that ended."""
    cache, ended, faults = config.cache, Counter(), {}
    kept = files_of(cache)
    sources = ("--teacher", config.teacher, "--corpus", config.corpus, "--device", "cpu")

    def look(listing):
        if command == "dump":
            status, _ = ended_as(lambda: cli.exit_status(lambda: dump_teacher(config, lambda _line: None) and None))
        else:
            status, _ = call("verify", cache, "--repair", *sources)
        ended["went on" if status == 0 else "refused"] += 1
        if status == 0 and not listing:
            sound, told = call("verify", cache)
            assert sound == 0, f"it went on, but verify: {told}"
            read_everything(cache)

    for number, (words, changed) in enumerate(changes(document_of(cache, "plan"))):
        if number % every or not words.startswith(only):
            continue
        put(cache, "plan", changed)
        listing = words.startswith(("files", "columns"))  # verify says that the plan does not list what it has
        if fault := fault_of(partial(look, listing)):
            faults.setdefault(fault, []).append(words)
        shutil.rmtree(cache)
        for file, data in kept.items():
            (cache / file).parent.mkdir(parents=True, exist_ok=True)
            (cache / file).write_bytes(data)
    report(ended, faults)
    return ended


@pytest.mark.parametrize("command", ["dump", "repair"])
def test_some_changed_plans_are_refused_in_one_line_or_gone_on_with(begun, command):
    """Every ninety-seventh of the cases below."""
    assert gone_on(begun, command, FEW)["refused"]


@pytest.mark.parametrize(
    ("command", "member"), [("dump", "teacher.config.use_cache"), ("repair", "objective.mean_span = 0")]
)
def test_changed_plans_that_were_once_gone_on_with_are_refused(begun, command, member):
    """A member that decides nothing, of a type that transformers refuses; a length that divides."""
    ended = gone_on(begun, command, EVERY, only=member)
    assert ended["refused"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["dump", "repair"])
def test_every_changed_plan_is_refused_in_one_line_or_gone_on_with(begun, command):
    """A plan says what to compute: with a stranger's numbers a dump must not take the machine down, nor a repair."""
    gone_on(begun, command, EVERY)


def seal_state(path, document):
    """Write state.json with its right digest."""
    document = {key: value for key, value in document.items() if key != "sha256"}
    document["sha256"] = _document_digest(document)
    path.write_text(json.dumps(document))


def write_lines(path, document):
    """Write metrics.jsonl."""
    path.write_text("".join(json.dumps(line) + "\n" for line in document))


def resumed(home, name, read, write, every):
    """Change every member of a document of a training that is resumed; how that ended."""
    ended, faults = Counter(), {}
    output, path = home / "student", home / "student" / name
    kept, before = files_of(output), path.read_bytes()

    def look():
        status, _ = train(home / "cache", output)
        ended["resumed" if status == 0 else "refused"] += 1

    for number, (words, changed) in enumerate(changes(read(before))):
        if number % every:
            continue
        write(path, changed)
        if fault := fault_of(look):
            faults.setdefault(fault, []).append(words)
        shutil.rmtree(output)
        for file, data in kept.items():
            (output / file).parent.mkdir(parents=True, exist_ok=True)
            (output / file).write_bytes(data)
    report(ended, faults)
    return ended


def write_json(path, document):
    path.write_text(json.dumps(document))


def lines_of(data):
    return [json.loads(line) for line in data.splitlines()]


DOCUMENTS_OF_A_TRAINING = {
    "checkpoints/step-00000002/state.json": (json.loads, seal_state),
    "run.json": (json.loads, write_json),
    "metrics.jsonl": (lines_of, write_lines),
}


@pytest.mark.parametrize("name", DOCUMENTS_OF_A_TRAINING)
def test_some_members_of_a_trainings_documents_end_in_one_line(home, name):
    """Every forty-first of the cases below."""
    assert resumed(home, name, *DOCUMENTS_OF_A_TRAINING[name], 41)


@pytest.mark.slow
@pytest.mark.parametrize("name", DOCUMENTS_OF_A_TRAINING)
def test_every_member_of_a_trainings_documents_ends_in_one_line(home, name):
    """Every member and every replacement."""
    resumed(home, name, *DOCUMENTS_OF_A_TRAINING[name], EVERY)
