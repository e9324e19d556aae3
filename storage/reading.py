"""Read a published folder: the document at once, every other file when it is first used, after checking its SHA-256.

We hash a file when it is first used and not when the folder is opened. So a student pays only for the columns of its own
objective. We hash it before we decode it, so that no decoder meets bytes that were not published. We fetch a file from an
object store when it is first used, and once more if the mirror's copy is not what was published.
"""

import errno
import hashlib
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import PurePosixPath
from typing import Any, TypeVar

import zarr

from ..errors import CacheDamagedError, CacheMismatchError, MiniEndError, damaged
from ..runtime.durable import leads_nowhere
from .columns.columns import Values, open_column, read_part, read_rows
from .columns.metadata import check_index, check_metadata
from .documents.parse import Document, parse
from .documents.seal import MAXIMUM_BYTES, document_digest, unseal
from .inventory import check_inventory, document_name
from .stores.place import Where, place_of

_REMEMBERED = 64
"""The number of documents in memory."""
D = TypeVar("D", bound=Document)
T = TypeVar("T")


class _Recent(OrderedDict["PublishedFolder", dict[str, Any]]):
    """The documents that were read last."""

    def __setitem__(self, folder: "PublishedFolder", document: dict[str, Any]) -> None:
        super().__setitem__(folder, document)
        if len(self) > _REMEMBERED:
            with suppress(KeyError):  # another thread was first
                self.popitem(last=False)


_RECENT = _Recent()


class PublishedFolder:
    """One published folder, opened for reading; safe to share between threads."""

    def __init__(self, path: Where, kind: str, fresh: bool = False) -> None:
        """Read and check only the document; `fresh` takes it from the object store even if the mirror has it.

        Raises CacheDamagedError if it is missing or not as published, CacheMismatchError for another version or kind.
        """
        self.path, self.kind = place_of(path), kind
        self.document_bytes, self.listed_bytes = 0, 0
        document = self._read_document(fresh)
        self.digest = document_digest(document)
        self._document = None if kind == "marker" else document
        _RECENT[self] = document
        self._sound: set[str] = set()
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._lock = threading.Lock()

    @property
    def document(self) -> dict[str, Any]:
        """The document, its "sha256" included. We read a marker again if it was not used lately.

        A cache may have ten thousand markers. Raises CacheDamagedError if the document is no longer the one that was
        opened.
        """
        return self._document or _RECENT.get(self) or self._read_again()

    def parsed(self, kind: type[D]) -> D:
        """Return the members of the document. Raise CacheDamagedError that names every member that does not fit `kind`."""
        return parse(kind, self.document, str(self.path))

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        """The "axis", "dtype", "shape" and "bytes" of each column, by name."""
        columns: dict[str, dict[str, Any]] = self.document["columns"]
        return columns

    def column_bytes(self, name: str) -> int:
        """Return the bytes of a column's files. For a name that the folder does not have, this and all below raise KeyError."""
        return int(self.columns[name]["bytes"])

    @property
    def total_bytes(self) -> int:
        """The bytes of the document and of all files that it lists."""
        return self.document_bytes + self.listed_bytes

    def column(self, name: str) -> Values:
        """Return a whole column, [n] or [rows, n]. Raises CacheDamagedError if its files are not the published ones."""
        array = self._array(name)
        return self._decoded(name, lambda: read_part(array, 0, array.shape[-1]))

    def slice(self, name: str, start: int, stop: int) -> Values:
        """Return elements start to stop of a column's last axis. Raises IndexError outside of it."""
        array = self._array(name)
        return self._decoded(name, lambda: read_part(array, start, stop))

    def rows(self, name: str, start: int, stop: int) -> Values:
        """Return rows start to stop of a column [rows, n], so that a large column need not be decoded at once.

        Raises IndexError outside of them.
        """
        array = self._array(name)
        return self._decoded(name, lambda: read_rows(array, start, stop))

    def close(self) -> None:
        """Forget the opened columns, some 10 KB each; a column that is used later is opened again, but not hashed again."""
        with self._lock:
            self._arrays.clear()

    def file(self, name: str) -> bytes:
        """Return a listed file's bytes. Raises CacheDamagedError if they are not the published ones."""
        self.document["files"][name]
        self._check(name)
        return self._local_bytes(name)

    def verify(self) -> list[str]:
        """Return `damage` and a sentence for each thing that is not listed; for a sound folder the list is empty."""
        name = document_name(self.kind)
        return self.damage() + [f"{self.path}/{path} is not listed in {name}: remove it" for path in self.unlisted()]

    def damage(self) -> list[str]:
        """Read and decode everything again, and return a sentence for each thing that is not as published.

        From an object store we fetch everything again and replace what the mirror has.
        """
        problems = [*self._problem(self._read_again, True)]
        for name in sorted(self.document["files"]):
            problems += self._problem(self._check, name, True)
        if not problems:
            for name in sorted(self.columns):
                problems += self._problem(self.column, name)
        return problems

    def _array(self, name: str) -> "zarr.Array[Any]":
        """Return the opened array of a column, after checking all its files."""
        self.columns[name]
        with self._lock:
            for path in self.document["files"]:
                if path.startswith(f"{name}/") and path not in self._sound:
                    self._check(path)
                    self._sound.add(path)
            if name not in self._arrays:
                self._arrays[name] = self._open(name)
            return self._arrays[name]

    def _open(self, name: str) -> "zarr.Array[Any]":
        """Open the array of a column. Raise CacheDamagedError unless its metadata has the format's form and fits the document."""
        files = {path: entry["bytes"] for path, entry in self.document["files"].items() if path.startswith(f"{name}/")}
        sizes = {path.removeprefix(f"{name}/"): size for path, size in files.items()}
        if sum(files.values()) != self.columns[name]["bytes"]:
            raise self._damaged(
                document_name(self.kind), f"the bytes of the column {name} are not the sum of its files"
            )
        metadata = f"{name}/zarr.json"
        try:
            form = check_metadata(self._local_bytes(metadata), self.columns[name], sizes)
        except ValueError as error:
            raise self._damaged(metadata, str(error)) from error
        if form.data:
            try:
                check_index(self.path.local / name / form.data, form)
            except ValueError as error:
                raise self._damaged(f"{name}/{form.data}", str(error)) from error
        return open_column(self.path.local, name)

    def _decoded(self, name: str, read: Callable[[], Values]) -> Values:
        """Return what `read` returns for a column, whose bytes are the published ones.

        The writer may have been wrong, so that they do not decode. The libraries' decoders then raise various errors. pcodec
        returns None for a stream without elements, which makes zarr fail.
        """
        try:
            return read()
        except (ValueError, TypeError, RuntimeError, AttributeError) as error:
            raise self._damaged(name, f"it does not decode ({error})") from error

    def _check(self, name: str, fresh: bool = False) -> None:
        """Compare a listed file's length and SHA-256 with the document, a piece at a time; fetch it first if need be."""
        if self.path.bucket is not None:
            if not fresh:
                with suppress(CacheDamagedError):  # not fetched yet, or not as it was fetched
                    return self._check_local(name)
            return self._fetched(name, self.document["files"][name]["bytes"], lambda: self._check_local(name))
        return self._check_local(name)

    def _check_local(self, name: str) -> None:
        """Do the same with a file of the directory or mirror."""
        expected = self.document["files"][name]
        with self._opened(name, expected["bytes"]) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != expected["sha256"]:
            raise self._damaged(name, "its SHA-256 is not the published one")

    def _local_bytes(self, name: str) -> bytes:
        """Return a listed file's bytes from the directory or mirror, after the same checks."""
        expected = self.document["files"][name]
        with self._opened(name, expected["bytes"]) as stream:
            data = stream.read()
        if hashlib.sha256(data).hexdigest() != expected["sha256"]:
            raise self._damaged(name, "its SHA-256 is not the published one")
        return data

    def _fetched(self, name: str, most: int, check: Callable[[], T]) -> T:
        """Copy a file of at most so many bytes from the object store to the mirror, and return what `check` makes of it.

        If it does not pass, a second copy decides, because a byte may have been lost on the way.
        """
        self._fetch(name, most)
        with suppress(CacheDamagedError, CacheMismatchError):
            return check()
        self._fetch(name, most)
        return check()

    def _fetch(self, name: str, most: int) -> None:
        """Copy a file from the object store to the mirror. Raise CacheDamagedError if it is missing, or larger than `most`."""
        try:
            self.path.fetch(name, most)
        except FileNotFoundError as error:
            raise self._damaged(name, f"it cannot be read ({error.strerror})") from error

    @contextmanager
    def _opened(self, name: str, length: int) -> Iterator[BufferedReader]:
        """Open a file. Raise CacheDamagedError for another length, a link or a path through one, and what cannot be read."""
        root = self.path.local
        path = root / name
        parts = [name, *map(str, PurePosixPath(name).parents)]  # the last of which is ".", the folder itself
        if any((root / part).is_symlink() for part in parts):
            raise self._damaged(name, "it is a symbolic link, or its path goes through one")
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                raise self._damaged(name, "it is not a regular file")
            if status.st_size != length:
                raise self._damaged(name, f"expected {length:,} bytes, found {status.st_size:,}")
            with path.open("rb") as stream:
                yield stream
        except CacheDamagedError:
            raise
        except OSError as error:
            raise self._unreadable(name, error) from error

    def _read_document(self, fresh: bool) -> dict[str, Any]:
        """Return the document of the directory or the store.

        For a marker the mirror's copy is enough, because its parent names its cache.
        """
        if self.path.bucket is None:
            return self._local_document()
        if self.kind == "marker" and not fresh:
            with suppress(CacheDamagedError, CacheMismatchError):
                return self._local_document()
        name = document_name(self.kind)
        path = self.path.local / name
        before = path.read_bytes() if self.kind == "plan" and path.is_file() else None
        document = self._fetched(name, MAXIMUM_BYTES, self._local_document)
        if before is not None and before != path.read_bytes():  # another cache is at this URL now
            self.path.forget_beside()
        return document

    def _local_document(self) -> dict[str, Any]:
        """Return the unsealed document, after checking the form of its members "files" and "columns"."""
        name = document_name(self.kind)
        path = self.path.local / name
        if self.path.local.is_symlink():
            raise self._damaged(name, "its folder is a symbolic link")
        try:
            mode = os.lstat(path).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):  # a pipe would wait for its writer
                raise self._damaged(name, "it is not a regular file")
            with open(path, "rb", opener=_no_link) as stream:
                data = stream.read(MAXIMUM_BYTES + 1)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise self._damaged(name, "it is a symbolic link") from error
            raise self._unreadable(name, error) from error
        document = unseal(data, self.kind, f"{self.path}/{name}")
        try:
            check_inventory(document, name)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(name, f"its members are malformed ({error!r})") from error
        self.document_bytes = len(data)
        self.listed_bytes = sum(int(entry["bytes"]) for entry in document["files"].values())
        return document

    def _read_again(self, fresh: bool = False) -> dict[str, Any]:
        """Return the document, read again. Raise CacheDamagedError unless it is still the one that was opened."""
        document = self._read_document(fresh)
        if document_digest(document) != self.digest:
            raise self._damaged(document_name(self.kind), "it changed since the folder was opened")
        _RECENT[self] = document
        return document

    def _problem(self, check: Any, *arguments: Any) -> list[str]:
        """Return a list with the message of a check that fails, else an empty list."""
        try:
            check(*arguments)
        except MiniEndError as error:
            return [str(error)]
        return []

    def unlisted(self) -> list[str]:
        """Return the relative path of each file, link or folder that the document does not account for."""
        listed = {*self.document["files"], document_name(self.kind)}
        folders = {f"{parent}/" for name in listed for parent in PurePosixPath(name).parents}
        folders |= {f"{name}/" for name in self.columns}
        return [name.rstrip("/") for name in self.path.files() if name not in listed and name not in folders]

    def _unreadable(self, name: str, error: OSError) -> OSError:
        """Return the damage of a file that is missing or on a bad disk, else the error itself: dumping anew would not help."""
        if leads_nowhere(error) or error.errno == errno.EIO:
            return self._damaged(name, f"it cannot be read ({error.strerror})")
        return error

    def _damaged(self, name: str, what: str) -> CacheDamagedError:
        advice = "This folder must be dumped again (`miniend verify --repair`, or remove it and run dump-teacher again)"
        return damaged(self.path / name, what, advice)


def folder_exists(path: Where, kind: str) -> bool:
    """Return whether a folder of this kind was published at `path`, without checking its content."""
    return place_of(path).has(document_name(kind))


def _no_link(path: str, flags: int) -> int:
    """Open a file, but refuse a symbolic link (ELOOP), without reading the file's status first."""
    return os.open(path, flags | os.O_NOFOLLOW)
