"""Published folders: equal inputs give equal bytes, and no changed byte is ever decoded."""

import json
import os
import shutil
import threading

import numpy as np
import pytest

from miniend.errors import CacheDamagedError, CacheMismatchError, MiniEndError
from miniend.storage import folder as folder_module
from miniend.storage.columns.columns import Column
from miniend.storage.documents.seal import seal
from miniend.storage.folder import PublishedFolder, folder_exists, publish_folder

DOCUMENT = "marker.json"


def make(target, codec="pcodec", body=None, shift=0):
    """A small folder with one- and two-dimensional, empty and float columns and raw files."""
    rng = np.random.default_rng(0)
    columns = {
        "inputs.ids": Column(values=rng.integers(0, 30_000, 300) + shift, axis="input"),
        "relations.encoder.self@11.all": Column(values=rng.integers(-200, 200, (20, 300)), axis="input"),
        "basis": Column(values=rng.normal(size=(4, 6)).astype(np.float32), axis="basis"),
        "empty": Column(values=np.zeros((3, 0), np.int64), axis="target"),
    }
    files = {"tokenizer/tokenizer.json": b"{}", "note": b""}
    publish_folder(target, "marker", {"parent": "p", **(body or {})}, columns, files, codec)
    return columns, files


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read_all(path):
    """Use everything that the folder offers."""
    folder = PublishedFolder(path, "marker")
    for name in folder.columns:
        folder.column(name)
    for name in folder.document["files"]:
        folder.file(name)


@pytest.mark.parametrize("codec", ["pcodec", "zstd"])
def test_everything_that_was_published_comes_back(tmp_path, codec):
    """The round trip of all kinds of members at once."""
    columns, files = make(tmp_path / "a", codec)
    folder = PublishedFolder(tmp_path / "a", "marker")
    assert folder.verify() == []
    assert set(folder.columns) == set(columns)
    for name, column in columns.items():
        assert np.array_equal(folder.column(name), column.values)
        assert folder.columns[name]["axis"] == column.axis
        assert folder.columns[name]["shape"] == list(column.values.shape)
        assert folder.columns[name]["dtype"] == str(folder.column(name).dtype)
    assert np.array_equal(folder.slice("inputs.ids", 7, 19), columns["inputs.ids"].values[7:19])
    assert {name: folder.file(name) for name in files} == files
    assert folder.document["parent"] == "p"
    assert folder.digest == folder.document["sha256"]
    on_disk = sum(len(data) for name, data in contents(tmp_path / "a").items() if name.startswith("inputs.ids/"))
    assert folder.column_bytes("inputs.ids") == on_disk


@pytest.mark.parametrize("codec", ["pcodec", "zstd"])
def test_equal_inputs_give_byte_identical_folders(tmp_path, codec):
    """Resumed and parallel dumps promise the same files; a time, a set's order or a thread race would break that."""
    make(tmp_path / "a", codec)
    make(tmp_path / "b", codec)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_publishing_the_same_again_keeps_the_folder_and_another_content_is_refused(tmp_path):
    """A rerun must not fail, and must never replace what others already refer to."""
    make(tmp_path / "a")
    before = contents(tmp_path / "a")
    make(tmp_path / "a")
    with pytest.raises(CacheMismatchError, match="holds something else"):
        make(tmp_path / "a", shift=1)
    with pytest.raises(CacheMismatchError, match="holds something else"):
        make(tmp_path / "a", body={"extra": 1})
    assert contents(tmp_path / "a") == before
    assert os.listdir(tmp_path) == ["a"]


def test_the_same_values_from_another_codec_version_are_the_same_content(tmp_path, monkeypatch):
    """An upgraded library compresses differently: the rerun would refuse its own cache."""
    make(tmp_path / "a")
    write = folder_module.write_column

    def other(folder, name, column, codec):
        write(folder, name, column, codec)
        path = folder / name / "zarr.json"
        path.write_text(json.dumps(json.loads(path.read_text())))

    monkeypatch.setattr(folder_module, "write_column", other)
    make(tmp_path / "a")
    with pytest.raises(CacheMismatchError, match="holds something else"):
        make(tmp_path / "a", shift=1)


@pytest.mark.parametrize("codec", ["pcodec", "zstd"])
def test_every_flipped_byte_is_refused_on_reading_and_named_by_verify(tmp_path, codec):
    """A student that trains on damaged signals learns them; nothing in the loss would tell."""
    make(tmp_path / "a", codec)
    rng = np.random.default_rng(1)
    for name, data in contents(tmp_path / "a").items():
        opened = PublishedFolder(tmp_path / "a", "marker")
        for position in sorted({0, len(data) - 1, *rng.integers(0, max(1, len(data)), 12).tolist()} if data else ()):
            changed = bytearray(data)
            changed[position] ^= 1 << int(rng.integers(8))
            (tmp_path / "a" / name).write_bytes(changed)
            with pytest.raises((CacheDamagedError, CacheMismatchError)):
                read_all(tmp_path / "a")
            assert name in " ".join(opened.verify())
        (tmp_path / "a" / name).write_bytes(data)
    assert PublishedFolder(tmp_path / "a", "marker").verify() == []


@pytest.mark.parametrize("how", ["truncated", "lengthened", "missing", "emptied", "folder", "link"])
def test_a_file_that_is_not_the_published_one_is_refused_and_named(tmp_path, how):
    """Each of these could pass a check of existence or of the first bytes."""
    make(tmp_path / "a")
    for name, data in contents(tmp_path / "a").items():
        path = tmp_path / "a" / name
        path.unlink()
        if how == "truncated":
            path.write_bytes(data[:-1])
        elif how in ("lengthened", "emptied"):
            path.write_bytes(data + b"\n" if how == "lengthened" else b"")
        elif how == "folder":
            path.mkdir()
        elif how == "link":
            (tmp_path / "elsewhere").write_bytes(data)
            path.symlink_to(tmp_path / "elsewhere")
        if not (path.is_file() and not path.is_symlink() and path.read_bytes() == data):
            with pytest.raises(CacheDamagedError, match=name.replace("+", r"\+")):
                read_all(tmp_path / "a")
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        path.write_bytes(data)
    read_all(tmp_path / "a")


def test_files_behind_a_linked_folder_are_refused(tmp_path):
    """A link to another cache's column has the right name and, one day, the wrong content."""
    make(tmp_path / "a")
    shutil.move(tmp_path / "a" / "basis", tmp_path / "basis")
    (tmp_path / "a" / "basis").symlink_to(tmp_path / "basis")
    folder = PublishedFolder(tmp_path / "a", "marker")
    with pytest.raises(CacheDamagedError, match="symbolic link"):
        folder.column("basis")
    assert any("symbolic link" in problem for problem in folder.verify())


def test_swapped_files_are_refused(tmp_path):
    """Two columns of equal form decode without an error into each other's place."""
    columns = {name: Column(values=np.arange(50) + k, axis="input") for k, name in enumerate(("a", "b"))}
    publish_folder(tmp_path / "f", "marker", {}, columns)
    a, b = (tmp_path / "f" / name / "c" / "0" for name in "ab")
    data_a, data_b = a.read_bytes(), b.read_bytes()
    a.write_bytes(data_b)
    b.write_bytes(data_a)
    folder = PublishedFolder(tmp_path / "f", "marker")
    with pytest.raises(CacheDamagedError, match="a/c/0 is damaged"):
        folder.column("a")
    assert len(folder.verify()) == 2


def test_unlisted_files_are_reported(tmp_path):
    """A chunk file that nobody listed could be read by other Zarr software."""
    make(tmp_path / "a")
    (tmp_path / "a" / "basis" / "c" / "1").mkdir()
    (tmp_path / "a" / "basis" / "c" / "1" / "0").write_bytes(b"x")
    (tmp_path / "a" / ".hidden").write_bytes(b"x")
    problems = PublishedFolder(tmp_path / "a", "marker").verify()
    assert len(problems) == 3
    assert all("not listed" in problem for problem in problems)


def test_reading_one_column_does_not_need_the_others(tmp_path):
    """A student pays for the columns of its objective alone; damage elsewhere is verify's business."""
    columns, _ = make(tmp_path / "a")
    shutil.rmtree(tmp_path / "a" / "basis")
    folder = PublishedFolder(tmp_path / "a", "marker")
    assert np.array_equal(folder.column("inputs.ids"), columns["inputs.ids"].values)
    with pytest.raises(CacheDamagedError, match=r"basis.*must be dumped again"):
        folder.column("basis")


def test_a_column_is_hashed_once_and_by_one_thread(tmp_path, monkeypatch):
    """Hashing at each use would double the reading; a race must not skip it."""
    columns, _ = make(tmp_path / "a")
    folder, seen, check = PublishedFolder(tmp_path / "a", "marker"), [], PublishedFolder._check

    def counting(self, name):
        seen.append(name)
        return check(self, name)

    monkeypatch.setattr(PublishedFolder, "_check", counting)
    results = []
    threads = [threading.Thread(target=lambda: results.append(folder.slice("basis", 1, 4))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(np.array_equal(part, columns["basis"].values[:, 1:4]) for part in results)
    assert sorted(seen) == ["basis/c/0/0", "basis/zarr.json"]


@pytest.mark.parametrize("codec", ["pcodec", "zstd"])
def test_rows_are_those_of_the_whole_column(tmp_path, codec):
    """A training reads large columns a few rows at a time."""
    columns, _ = make(tmp_path / "a", codec)
    folder, name = PublishedFolder(tmp_path / "a", "marker"), "relations.encoder.self@11.all"
    for start, stop in ((0, 20), (3, 4), (5, 17), (20, 20)):
        found = folder.rows(name, start, stop)
        assert np.array_equal(found, columns[name].values[start:stop])
        assert found.dtype == folder.column(name).dtype
    assert folder.rows("empty", 1, 3).shape == (2, 0)
    for start, stop in ((0, 21), (-1, 3), (4, 2)):
        with pytest.raises(IndexError):
            folder.rows(name, start, stop)


def test_a_closed_folder_is_read_again_but_not_hashed_again(tmp_path, monkeypatch):
    """Ten thousand folders of opened columns take a gigabyte; hashing each epoch anew takes time."""
    columns, _ = make(tmp_path / "a")
    folder, seen, check = PublishedFolder(tmp_path / "a", "marker"), [], PublishedFolder._check
    monkeypatch.setattr(PublishedFolder, "_check", lambda self, name: (seen.append(name), check(self, name))[1])
    for _ in range(2):
        assert np.array_equal(folder.column("inputs.ids"), columns["inputs.ids"].values)
        assert len(folder._arrays) == 1
        folder.close()
        assert not folder._arrays
    assert sorted(seen) == ["inputs.ids/c/0", "inputs.ids/zarr.json"]


def test_columns_are_compared_before_they_are_published(tmp_path, monkeypatch):
    """A codec that returns other values raises nothing: this comparison is the only witness."""
    read = folder_module.read_column
    for damage in (lambda x: x + 1, lambda x: x[..., :-1], lambda x: x.T):
        monkeypatch.setattr(
            folder_module, "read_column", lambda folder, name, damage=damage: damage(read(folder, name))
        )
        for values in (np.arange(12).reshape(3, 4), np.linspace(0, 1, 12).reshape(3, 4)):
            with pytest.raises(MiniEndError, match="did not read back"):
                publish_folder(tmp_path / "a", "marker", {}, {"c": Column(values=values, axis="input")})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("member", [{"dtype": "int32"}, {"shape": [299]}, {"shape": [1, 300]}])
def test_a_document_that_tells_another_form_than_the_array_is_refused(tmp_path, member):
    """Document and array disagree only if a writer is wrong; the reader must not guess which."""
    make(tmp_path / "a")
    document = json.loads((tmp_path / "a" / DOCUMENT).read_text())
    document["columns"]["inputs.ids"] |= member
    reseal(tmp_path / "a", document)
    folder = PublishedFolder(tmp_path / "a", "marker")
    with pytest.raises(CacheDamagedError, match=r"zarr\.json is damaged: expected"):
        folder.column("inputs.ids")
    assert len(folder.verify()) == 1


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "../a", "x/../../a", "", ".", "x//y", "x/./y", "x\\y", DOCUMENT),
        pytest.param("y" * 256, id="a long name"),
        pytest.param("ä" * 128, id="many bytes"),
        pytest.param("d/" * 1100 + "x", id="deep"),
    ],
)
def test_listed_paths_that_leave_the_folder_or_cannot_be_are_refused_by_reader_and_writer(tmp_path, path):
    """A foreign cache must not make us read, or hash, files outside of it. A name of 300 characters ended verify at that file."""
    make(tmp_path / "a")
    document = json.loads((tmp_path / "a" / DOCUMENT).read_text())
    document["files"][path] = {"bytes": 0, "sha256": "0" * 64}
    reseal(tmp_path / "a", document)
    with pytest.raises(CacheDamagedError, match="malformed"):
        PublishedFolder(tmp_path / "a", "marker")
    with pytest.raises(ValueError):
        publish_folder(tmp_path / "b", "marker", {}, files={path: b""})


@pytest.mark.parametrize(
    "change",
    [
        {"files": []},
        {"files": {"x": {}}},
        {"files": {"x": {"bytes": "1", "sha256": "0" * 64}}},
        {"files": {"x": {"bytes": 1, "sha256": "0"}}},
        {"files": {"x": 1}},
        {"columns": {"x": {"axis": "input", "dtype": "int16", "shape": [1], "bytes": 1}}},
        {"columns": {"basis": {"axis": "no axis", "dtype": "int16", "shape": [1], "bytes": 1}}},
        {"columns": {"basis": {"axis": "input", "dtype": "int16", "shape": [-1], "bytes": 1}}},
        {"columns": {"../basis": {"axis": "input", "dtype": "int16", "shape": [1], "bytes": 1}}},
        {"columns": None},
    ],
)
def test_malformed_members_are_damage_and_not_a_traceback(tmp_path, change):
    """A sealed document of a wrong writer has a right digest."""
    make(tmp_path / "a")
    document = json.loads((tmp_path / "a" / DOCUMENT).read_text())
    reseal(tmp_path / "a", {**document, **change})
    with pytest.raises(CacheDamagedError):
        PublishedFolder(tmp_path / "a", "marker")


def test_a_document_without_lists_is_damage(tmp_path):
    """`publish_folder` always writes both."""
    make(tmp_path / "a")
    reseal(tmp_path / "a", {"parent": "p"})
    with pytest.raises(CacheDamagedError, match="malformed"):
        PublishedFolder(tmp_path / "a", "marker")


def test_names_that_clash_are_refused_before_anything_is_written(tmp_path):
    """One member would silently overwrite the other."""
    column = {"c": Column(values=np.arange(3), axis="input")}
    for arguments in (
        {"columns": column, "files": {"c/zarr.json": b""}},
        {"files": {DOCUMENT: b""}},
        {"columns": {"../c": column["c"]}},
        {"columns": {".c": column["c"]}},
        {"columns": {DOCUMENT: column["c"]}},
    ):
        with pytest.raises(ValueError):
            publish_folder(tmp_path / "a", "marker", {}, **arguments)
    for body in ({"files": 1}, {"columns": 1}, {"sha256": 1}):
        with pytest.raises(ValueError):
            publish_folder(tmp_path / "a", "marker", body)
    with pytest.raises(ValueError, match="kind"):
        publish_folder(tmp_path / "a", "shard", {})
    assert os.listdir(tmp_path) == []


def test_a_folder_exists_once_it_is_published_as_that_kind(tmp_path):
    """Resuming skips what exists."""
    assert not folder_exists(tmp_path / "a", "marker")
    make(tmp_path / "a")
    assert folder_exists(tmp_path / "a", "marker")
    assert not folder_exists(tmp_path / "a", "plan")
    with pytest.raises(CacheDamagedError, match=r"plan\.json"):
        PublishedFolder(tmp_path / "a", "plan")


def test_verify_notices_that_the_document_was_replaced(tmp_path):
    """An opened folder whose document changes under it belongs to another cache."""
    make(tmp_path / "a")
    folder = PublishedFolder(tmp_path / "a", "marker")
    document = json.loads((tmp_path / "a" / DOCUMENT).read_text())
    reseal(tmp_path / "a", {**document, "parent": "q"})
    assert any("changed since" in problem for problem in folder.verify())


def reseal(path, document):
    """Write a document that is sealed rightly, whatever it says."""
    body = {key: value for key, value in document.items() if key not in ("format", "version", "kind", "sha256")}
    (path / DOCUMENT).write_bytes(seal("marker", body))


def test_a_wrong_length_is_told_in_numbers_before_anything_is_hashed(tmp_path):
    """A copy that broke off is the common damage: the message should say so at once."""
    make(tmp_path / "a")
    (tmp_path / "a" / "tokenizer" / "tokenizer.json").write_bytes(b"{")
    with pytest.raises(CacheDamagedError, match="expected 2 bytes, found 1"):
        PublishedFolder(tmp_path / "a", "marker").file("tokenizer/tokenizer.json")


def test_a_file_far_larger_than_its_column_is_refused_before_it_is_read(tmp_path):
    """A file of a terabyte of nothing takes no room on the disk, and hours to hash."""
    make(tmp_path / "a")
    path = tmp_path / "a" / "inputs.ids" / "c" / "0"
    os.truncate(path, 2**40)
    document = json.loads((tmp_path / "a" / "marker.json").read_text())
    grown = 2**40 - document["files"]["inputs.ids/c/0"]["bytes"]
    document["files"]["inputs.ids/c/0"]["bytes"] += grown
    document["columns"]["inputs.ids"]["bytes"] += grown
    body = {key: value for key, value in document.items() if key not in ("format", "version", "kind", "sha256")}
    (tmp_path / "a" / "marker.json").write_bytes(seal("marker", body))
    with pytest.raises(CacheDamagedError, match="should have at most 67,"):
        PublishedFolder(tmp_path / "a", "marker")
