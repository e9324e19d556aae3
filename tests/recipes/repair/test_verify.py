"""`miniend verify`: every byte of a cache is covered, and no damaged byte ever reaches a student."""

import json
import os
import shutil
import sys

import numpy as np
import pytest

from miniend import cli, open_cache
from miniend.errors import CacheDamagedError, CacheMismatchError, MiniEndError
from miniend.recipes.repair.verify import describe, verify_cache
from support.damage import (
    copy_of,
    document_of,
    files_of,
    flip,
    folder_of,
    folders_of,
    read_everything,
    reseal,
    rewritten,
    same,
)
from support.tiny_cache import build_tiny_cache

SITES = "encoder.self,decoder.self,decoder.cross,encoder.hidden@all,decoder.hidden"
SMALL = {"signals": SITES, "examples": 12, "validation_examples": 4, "shard_examples": 6, "calibration_examples": 8}


@pytest.fixture(scope="module", params=["pcodec", pytest.param("zstd", marks=pytest.mark.slow)])
def original(request, tmp_path_factory):
    """Three shards with all signals; of the two codecs, the default one in `make test`.

    Listings, seals and documents do not know the codec. What does, a column's bytes, has a test below with zstd.
    """
    return build_tiny_cache(tmp_path_factory.mktemp(request.param) / "a", codec=request.param, **SMALL)


@pytest.fixture
def cache(original, tmp_path):
    return copy_of(original, tmp_path / "cache")


def named(cache):
    report = verify_cache(cache)
    return [*report.damaged, *report.unlisted, *report.missing]


def test_a_sound_cache_is_sound_and_counted(original, cache):
    """Every file is read, none twice."""
    report = verify_cache(cache)
    assert report.sound
    assert (report.folders, report.shards) == (8, (3, 3))
    assert report.bytes == sum(map(len, files_of(cache).values()))
    assert list(describe(report)) == [f"{cache} is sound: 8 folders, {report.bytes:,} bytes"]
    assert files_of(cache) == files_of(original)


def flips(cache, count, seed, whole_every):
    """Flip one bit at a time anywhere: each must be named, and be refused by a reader that reads the file at all."""
    rng, expected = np.random.default_rng(seed), read_everything(cache)
    names, sizes = zip(*((name, len(data)) for name, data in files_of(cache).items()), strict=True)
    ends = np.cumsum(sizes)
    for trial, place in enumerate(rng.integers(ends[-1], size=count).tolist()):
        number = int(np.searchsorted(ends, place, side="right"))
        position, bit = place - int(ends[number]) + sizes[number], int(rng.integers(8))
        folder = folder_of(names[number])
        flip(cache / names[number], position, bit)
        if trial % whole_every == 0:
            assert list(verify_cache(cache).damaged) == [folder], (names[number], position, bit)
        else:
            assert_named(cache, folder)
        try:
            found = read_everything(cache)
        except MiniEndError:
            found = None
        assert found is None or same(found, expected), (names[number], position, bit)
        assert found is None or not read_by_students(names[number]), names[number]
        flip(cache / names[number], position, bit)
    assert verify_cache(cache).sound


def read_by_students(name):
    """Not segments, nor the columns of the calibration with which shards are measured while they are made."""
    measuring = name.startswith("calibration/") and (".weight/" in name or "/logits.mean_probability/" in name)
    return not name.startswith("segments/") and not measuring


def assert_named(cache, folder):
    """The folder alone, as `verify_cache` reads it."""
    from miniend.storage.folder import PublishedFolder
    from support.damage import kind_of

    try:
        problems = PublishedFolder(cache / folder, kind_of(folder)).verify()
    except MiniEndError as error:
        problems = [str(error)]
    assert problems


def test_a_flipped_bit_anywhere_is_named_and_never_reaches_a_student(cache):
    """A sample of all bits of all files."""
    flips(cache, 30, seed=0, whole_every=10)


def test_a_flipped_bit_of_the_other_codec_is_named_and_never_reaches_a_student(tmp_path):
    """Zstandard decodes some damaged blocks without a complaint of its own."""
    signals = {"signals": "decoder.self,decoder.hidden", "shard_examples": 12}
    flips(build_tiny_cache(tmp_path, **{**SMALL, **signals}, codec="zstd"), 20, seed=2, whole_every=10)


@pytest.mark.parametrize("site", ["encoder.hidden@0", "decoder.hidden@1"])
def test_a_flipped_bit_in_hidden_states_is_named_and_refused(cache, site):
    """No student reads them yet, so nobody else would notice."""
    data = cache / "shards" / "train-000001" / f"hidden.{site}" / "c" / "0" / "0"
    flip(data, data.stat().st_size // 2, 3)
    assert list(verify_cache(cache).damaged) == ["shards/train-000001"]
    with pytest.raises(CacheDamagedError):
        open_cache(cache)[6].hidden[site]


@pytest.mark.slow
def test_a_thousand_flipped_bits_are_named_and_never_reach_a_student(cache):
    """The same at length."""
    flips(cache, 1000, seed=1, whole_every=20)


@pytest.mark.parametrize("how", ["truncated", "extended", "emptied", "missing", "folder", "link", "pipe"])
def test_a_file_that_is_not_the_published_one_is_named(cache, tmp_path, how):
    """One file of each kind of folder, the largest and the document."""
    for folder in {name.split("/")[0]: name for name in folders_of(cache)}.values():
        inside = sorted(
            (p for p in (cache / folder).rglob("*") if p.is_file()), key=lambda p: (p.stat().st_size, p.name)
        )
        for path in {inside[-1], next((cache / folder).glob("*.json"))}:
            data = path.read_bytes()
            replace(path, data, how, tmp_path / "elsewhere")
            assert any(name.startswith(folder) for name in named(cache)), (path, how)
            if path.is_dir():
                path.rmdir()
            path.unlink(missing_ok=True)
            path.write_bytes(data)
    assert verify_cache(cache).sound


def replace(path, data, how, elsewhere):
    path.unlink()
    if how in ("truncated", "extended", "emptied"):
        path.write_bytes({"truncated": data[:-1], "extended": data + b"\n", "emptied": b""}[how])
    elif how == "folder":
        path.mkdir()
    elif how == "link":
        elsewhere.write_bytes(data)
        path.symlink_to(elsewhere)
    elif how == "pipe":
        os.mkfifo(path)


def swap(one, other):
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


SHARDS = ("shards/train-000000", "shards/train-000001")


@pytest.mark.parametrize(
    ("one", "other", "folders"),
    [
        (*SHARDS, SHARDS),
        (
            "segments/train-000000",
            "segments/validation-000000",
            ("segments/train-000000", "segments/validation-000000"),
        ),
        (f"{SHARDS[0]}/inputs.ids", f"{SHARDS[0]}/targets.ids", SHARDS[:1]),
        (f"{SHARDS[0]}/inputs.ids/c/0", f"{SHARDS[1]}/inputs.ids/c/0", SHARDS),
        (f"{SHARDS[0]}/marker.json", f"{SHARDS[1]}/marker.json", SHARDS),
        ("plan/plan.json", "calibration/calibration.json", ("plan",)),
    ],
)
def test_what_was_exchanged_is_named(cache, one, other, folders):
    """All of these are sound files, each in the wrong place."""
    swap(cache / one, cache / other)
    assert set(folders) <= set(named(cache))
    if not one.startswith("segments/"):  # which a student does not read
        with pytest.raises(MiniEndError):
            read_everything(cache)


def test_a_copied_and_a_foreign_shard_are_named(original, cache, tmp_path):
    """Sound in themselves; the foreign one has even the same range, from a dump with another seed."""
    shutil.rmtree(cache / SHARDS[1])
    shutil.copytree(cache / SHARDS[0], cache / SHARDS[1])
    assert named(cache) == [SHARDS[1]]
    foreign = build_tiny_cache(tmp_path / "b", teacher=original.parent / "teacher", **SMALL, seed=9)
    shutil.rmtree(cache / SHARDS[1])
    shutil.copytree(foreign / SHARDS[1], cache / SHARDS[1])
    assert "belongs elsewhere" in verify_cache(cache).damaged[SHARDS[1]][0]
    with pytest.raises(CacheMismatchError):
        read_everything(cache)


@pytest.mark.parametrize(
    "name",
    [
        *("foo", "shards/zzz", "shards/train-1", "shards/train-0000000", "segments/notes.txt", "extents/first"),
        *("plan/more.json", "calibration/empty/", f"{SHARDS[0]}/.hidden", f"{SHARDS[0]}/inputs.ids/c/1", "empty/"),
        *("shards/train-000007/", f"{SHARDS[0]}/link"),
    ],
)
def test_what_nobody_published_is_named_and_makes_the_cache_unsound(cache, name):
    """A file that other software might read, or the beginning of a mistake."""
    path = cache / name
    if name.endswith("/"):
        path.mkdir(parents=True)
    elif name.endswith("link"):
        path.symlink_to(cache / "plan")
    else:
        path.write_bytes(b"x")
    report = verify_cache(cache)
    assert report.unlisted == [name.rstrip("/")]
    assert not report.sound


def test_a_linked_folder_is_named(cache, tmp_path):
    """What it points to is not in the copy that a user makes of the cache."""
    (cache / SHARDS[0]).rename(tmp_path / "elsewhere")
    (cache / SHARDS[0]).symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in verify_cache(cache).damaged[SHARDS[0]][0]
    (cache / "segments").rename(tmp_path / "segments")
    (cache / "segments").symlink_to(tmp_path / "segments")
    assert verify_cache(cache).unlisted == ["segments"]


def test_leftovers_are_mentioned_and_harmless(cache):
    """The staging folder of a dump that runs is none of a reader's business."""
    (cache / "shards" / ".staging-train-000002-1-abc").mkdir()
    (cache / "shards" / ".staging-train-000002-1-abc.lock").touch()
    report = verify_cache(cache)
    assert report.sound
    assert len(report.leftovers) == 2
    assert sum("harmless" in line for line in describe(report)) == 2


def test_an_unfinished_cache_is_sound_as_far_as_it_goes(cache):
    """A dump in progress is no damage, but it is not whole either."""
    shutil.rmtree(cache / SHARDS[0])
    report = verify_cache(cache)
    assert report.sound
    assert (report.missing, report.shards) == ([SHARDS[0]], (2, 3))
    assert f"unfinished: 2 of 3 shards; missing: {SHARDS[0]}" in list(describe(report))
    shutil.rmtree(cache / "segments" / "train-000000")
    assert verify_cache(cache).missing == ["segments/train-000000", SHARDS[0]]
    shutil.rmtree(cache / "shards")
    shutil.rmtree(cache / "calibration")
    assert verify_cache(cache).sound


@pytest.mark.parametrize("lost", ["plan", "calibration", "extents/000000"])
def test_what_others_depend_on_is_damage_when_it_is_missing_or_damaged_and_the_rest_is_still_read(cache, lost):
    """The report of everything else is what tells which copy to restore from."""
    flip(cache / SHARDS[1] / "targets.ids" / "c" / "0", 3, 3)
    for remove in (False, True):
        if remove:
            shutil.rmtree(cache / lost)
        else:
            flip(next((cache / lost).glob("*.json")), 30, 1)
        report = verify_cache(cache)
        assert SHARDS[1] in report.damaged
        if not (remove and lost.startswith("extents")):
            assert lost in report.damaged
        assert SHARDS[0] not in report.damaged
        assert not report.sound


@pytest.mark.parametrize(
    ("folder", "change", "said"),
    [
        (SHARDS[0], {"tokens": {"input": 1, "target": 1}}, "should have the shape"),
        (SHARDS[0], {"number": 5}, "belongs elsewhere"),
        (SHARDS[0], {"stop": 7}, "belongs elsewhere"),
        (SHARDS[0], {"fidelity": None}, "its member fidelity should be"),
        ("segments/train-000000", {"start": 1}, "belongs elsewhere"),
        ("segments/train-000000", {"next": 1}, "its member next should be"),
        ("extents/000000", {"shard_examples": 5}, "its shard_examples differ from the plan"),
        ("extents/000000", {"examples": 10**18}, "at most 1,000,000"),
        ("calibration", {"sites": []}, "its sites should be the plan's"),
        ("calibration", {"hidden": []}, "its hidden should be the plan's"),
    ],
    ids=str,
)
def test_a_sealed_document_that_says_something_wrong_is_named(cache, folder, change, said):
    """The seal is right: only the meaning tells."""
    reseal(cache, folder, {**document_of(cache, folder), **change})
    sentences = [sentence for found in verify_cache(cache).damaged.values() for sentence in found]
    assert any(said in sentence for sentence in sentences), sentences
    if not folder.startswith("segments"):
        with pytest.raises(MiniEndError):
            read_everything(cache)


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("config", {"dropout_rate": None}, "its teacher.config: transformers refuses it: Validation error"),
        ("config", {"relative_attention_num_buckets": None}, "its teacher.config: transformers refuses it"),
        ("objective", {"kind": "mine"}, "its member objective.kind should be"),
    ],
    ids=str,
)
def test_a_plan_of_which_no_student_can_be_made_is_named(cache, part, change, said):
    """Training found it out, in a traceback of a library, after `verify` had called the cache sound."""
    plan = document_of(cache, "plan")
    (plan["teacher"]["config"] if part == "config" else plan[part]).update(change)
    reseal(cache, "plan", plan)
    assert any(said in sentence for sentence in verify_cache(cache).damaged["plan"]), verify_cache(cache).damaged


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"axis": "target"}, "should be on the axis input"),
        ({"blocks": ["query"]}, "with the blocks hidden"),
        ({"column": "hidden.decoder.hidden@1"}, "should be on the axis input"),
        ({"rank": 3}, "should have the shape"),
        ({"rank": "3"}, "its member hidden.0.codes.hidden.rank should be"),
    ],
    ids=str,
)
def test_a_sealed_description_of_hidden_states_that_is_wrong_is_named(cache, change, said):
    """A reader would take another column, other tokens' means, or cut rows elsewhere."""
    document = document_of(cache, "calibration")
    document["hidden"][0]["codes"]["hidden"].update(change)
    reseal(cache, "calibration", document)
    assert any(said in sentence for sentence in verify_cache(cache).damaged["calibration"])
    with pytest.raises(MiniEndError):
        open_cache(cache)


UPPER = "encoder.hidden@1"
PREDICTION = f"{UPPER}.hidden.prediction"


@pytest.mark.parametrize(
    ("entry", "lie"),
    [
        (0, "encoder.hidden@0"),
        (0, UPPER),
        (1, UPPER),
        (1, "decoder.hidden@1"),
        (1, "encoder.self@1"),
        (1, "encoder.hidden@7"),
        (1, None),
        (1, 3),
        (2, "encoder.hidden@0"),
        (2, "decoder.hidden@0"),
    ],
    ids=str,
)
def test_a_sealed_chain_of_layers_that_is_wrong_is_named(cache, entry, lie):
    """To itself, to a later layer, in a circle, to another stack or kind, to a site that is not there, or to none.

    Each of them decodes to numbers, which would pass for states.
    """
    document = document_of(cache, "calibration")
    chain = [one.get("predicted_from") for one in document["hidden"]]
    assert chain == [None, "encoder.hidden@0", None]
    document["hidden"][entry]["predicted_from"] = lie
    reseal(cache, "calibration", document)
    site, wanted = document["hidden"][entry]["site"], chain[entry] or "none"
    said = (
        "predicted_from should be"
        if lie == 3
        else "lacks the column"
        if lie and entry != 1
        else f"{site} should be predicted from {wanted}, found"
    )
    assert any(said in sentence for sentence in verify_cache(cache).damaged["calibration"])
    with pytest.raises(MiniEndError, match=said):
        open_cache(cache)


def test_a_circle_of_layers_whose_columns_are_all_there_is_named(cache):
    """A reader that followed it would not end."""
    hidden = document_of(cache, "calibration")["hidden"]
    hidden[0]["predicted_from"] = UPPER
    matrix = np.zeros((32, 32), np.float32)
    rewritten(cache, "calibration", {"encoder.hidden@0.hidden.prediction": matrix}, hidden=hidden)
    with pytest.raises(
        CacheDamagedError, match=r"encoder.hidden@0 should be predicted from none, found 'encoder.hidden@1'"
    ):
        open_cache(cache)


@pytest.mark.parametrize("lie", ["separate", "neither"])
def test_a_plan_that_says_another_code_than_the_calibration_is_named(cache, lie):
    """The plan decides how layers are coded; the calibration must agree."""
    plan = document_of(cache, "plan")
    plan["signals"]["hidden_code"] = lie
    reseal(cache, "plan", plan)
    document = document_of(cache, "calibration")
    reseal(cache, "calibration", {**document, "parent": document_of(cache, "plan")["sha256"]})
    folder = "plan" if lie == "neither" else "calibration"
    said = "one of predicted, separate" if lie == "neither" else f"{UPPER} should be predicted from none"
    assert any(said in sentence for sentence in verify_cache(cache).damaged[folder])
    with pytest.raises(MiniEndError):
        open_cache(cache)


def test_layers_in_another_order_are_named(cache):
    """The layer below must be decoded first, and the order says which one that is."""
    plan = document_of(cache, "plan")
    plan["signals"]["hidden"].reverse()
    reseal(cache, "plan", plan)
    said = "its signals.hidden should list each layer once and the lower ones first, found encoder.hidden@0 too late"
    assert any(said in sentence for sentence in verify_cache(cache).damaged["plan"])
    with pytest.raises(CacheDamagedError, match=said):
        open_cache(cache)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((3, 3), np.float32), "should have the shape"),
        (np.zeros((32, 32), np.int32), "should have the shape"),
        (np.full((32, 32), np.nan, np.float32), f"its column {PREDICTION} should hold finite numbers only"),
        (np.full((32, 32), np.inf, np.float32), f"its column {PREDICTION} should hold finite numbers only"),
    ],
    ids=["too small", "integers", "not a number", "infinite"],
)
def test_a_prediction_that_cannot_be_right_is_named(cache, values, said):
    """The files are as published, and only their numbers tell."""
    rewritten(cache, "calibration", {PREDICTION: values})
    assert any(said in sentence for sentence in verify_cache(cache).damaged["calibration"])
    with pytest.raises(CacheDamagedError, match=said):
        open_cache(cache)


def test_a_flipped_bit_below_a_predicted_layer_is_named_and_refused_by_its_readers(cache):
    """Layer 1 is made of layer 0: the damage would be in both."""
    data = cache / "shards" / "train-000001" / "hidden.encoder.hidden@0" / "c" / "0" / "0"
    flip(data, data.stat().st_size // 2, 3)
    [sentence] = verify_cache(cache).damaged["shards/train-000001"]
    assert "hidden.encoder.hidden@0" in sentence
    with pytest.raises(CacheDamagedError):
        open_cache(cache)[6].hidden[UPPER]


def test_a_shard_without_its_hidden_states_is_named(cache):
    """Sealed as it is, it would be noticed by whoever asks for them, weeks later."""
    document = document_of(cache, SHARDS[0])
    del document["columns"]["hidden.encoder.hidden@0"]
    reseal(cache, SHARDS[0], document)
    assert any("lacks the column hidden.encoder.hidden@0" in line for line in verify_cache(cache).damaged[SHARDS[0]])
    with pytest.raises(CacheDamagedError):
        open_cache(cache)


@pytest.mark.parametrize(
    "column",
    ["inputs.ids", "targets.offsets", "logits.head.sizes", "logits.head.codes", "segments.ids", "segments.offsets"],
)
def test_sealed_columns_with_impossible_integers_are_named(cache, column):
    """Offsets that fall or point beyond, ids that no embedding has: a wrong writer's, sealed as they are."""
    from miniend.storage.columns.columns import Column
    from miniend.storage.folder import PublishedFolder, publish_folder

    folder = "segments/train-000000" if column.startswith("segments") else SHARDS[0]
    found = PublishedFolder(cache / folder, "marker")
    columns = {n: Column(values=found.column(n), axis=info["axis"]) for n, info in found.columns.items()}
    values = columns[column].values.astype(np.int64)
    values[..., -1] = 60_000
    body = {
        k: v for k, v in found.document.items() if k not in ("format", "version", "kind", "sha256", "files", "columns")
    }
    shutil.rmtree(cache / folder)
    publish_folder(
        cache / folder, "marker", body, {**columns, column: Column(values=values, axis=columns[column].axis)}
    )
    assert column.split(".")[0] in verify_cache(cache).damaged[folder][0]
    if folder == SHARDS[0]:
        with pytest.raises(MiniEndError):
            read_everything(cache)


def run(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["miniend", "verify", *map(str, arguments)])
    status = 0
    try:
        cli.main()
    except SystemExit as exit_:
        status = exit_.code or 0
    return status, capsys.readouterr()


def test_the_command_says_it_with_its_exit_status_and_as_json(cache, tmp_path, capsys, monkeypatch):
    """Scripts go by the status; 2 must not look like damage."""
    assert run(capsys, monkeypatch, cache)[0] == 0
    status, shown = run(capsys, monkeypatch, tmp_path / "nowhere")
    assert (status, shown.out) == (2, "")
    assert "is not a MiniEnD cache" in shown.err
    flip(cache / "plan" / "plan.json", 100, 0)
    flip(cache / SHARDS[0] / "inputs.ids" / "c" / "0", 3, 0)
    status, shown = run(capsys, monkeypatch, cache)
    assert (status, shown.err) == (1, "")
    lines = shown.out.replace("\n  ", " ").splitlines()  # each goes on with an indent
    assert [line.split(":")[0] for line in lines[:2]] == ["plan", SHARDS[0]]
    assert "is damaged: 2 of 8 folders" in lines[-1]
    assert lines[-1].endswith(" bytes were read")  # they were called damaged, all of them for one flipped byte
    status, shown = run(capsys, monkeypatch, cache, "--json")
    facts = json.loads(shown.out)
    assert (status, facts["sound"], sorted(facts["damaged"])) == (1, False, ["plan", SHARDS[0]])
    assert {"folders", "bytes", "unlisted", "missing", "leftovers", "shards"} <= set(facts)
    for options in (["--repair"], ["--repair", "--json"]):
        status, shown = run(capsys, monkeypatch, cache, *options)
        known, said = (shown.err.split("miniend: ")[0], shown.out) if "--json" in options else (shown.out, "")
        assert (status, said) == (2, "")
        known = known.replace("\n  ", " ").splitlines()
        assert len(known) == 1
        assert known[0].startswith(f"as {cache / 'dump.yaml'} says: --teacher ")
        assert "cannot be made again" in shown.err
