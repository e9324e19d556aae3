"""Publish into an object store: data objects first, the document last, each put only if no object has its key.

The writer whose document arrives first has published. Until then nobody reads the folder, so a writer may overwrite or remove
what a dead writer left. Writers of the same bytes cannot harm each other. Of writers of other bytes only one is at work
(intention.py). Tags tell it whether its objects are still there before it puts its document.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from ...errors import CacheDamagedError, CacheMismatchError
from ...runtime.listing import everything_below
from ..stores.bucket import Bucket
from ..stores.place import Place
from .intention import Intention

ATTEMPTS = 3
REQUESTS = 8
"""The number of files that are on their way at a time."""


def publish_remotely(staged: Path, target: Place, document: str) -> bool:
    """`upload` a staged folder and return whether it was published; if so, it becomes the mirror's copy of it."""
    if not upload(staged, target, document):
        return False
    shutil.rmtree(target.local, ignore_errors=True)
    with suppress(OSError):  # another process has just filled the mirror
        os.rename(staged, target.local)
    if document == "plan.json":  # the mirror may hold folders of an earlier cache at this URL
        target.forget_beside()
    return True


def upload(staged: Path, target: Place, document: str) -> bool:
    """Put every file of `staged` below `target`, `document` last, and return True; return False if a document is already there.

    Raises CacheMismatchError if another writer keeps overwriting the same objects with other bytes.
    """
    bucket = target.writable()
    paths = [path for path in everything_below(staged) if path.is_file()]
    files = {path.relative_to(staged).as_posix(): path for path in paths}
    sealed = files.pop(document).read_bytes()
    folder = _Upload(bucket, target, files)
    intention = Intention(target, document, sealed, max((path.stat().st_size for path in files.values()), default=0))
    for _ in range(ATTEMPTS):
        if not intention.prevails() or not folder.put_data(document):
            return False
        if folder.settled() and intention.stands():
            break
    else:
        raise CacheMismatchError(
            f"{target}: another writer is publishing other bytes of the same folder; run the same command again when it is done"
        )
    created = bucket.create(target.key_of(document), sealed) is not None
    if created:
        folder.restore(document)
    intention.remove()
    return created


class _Upload:
    """The upload of one folder's data objects."""

    def __init__(self, bucket: Bucket, target: Place, files: dict[str, Path]) -> None:
        self._bucket, self._target, self._files = bucket, target, files
        self._tags: dict[str, str] = {}

    def present(self) -> dict[str, str]:
        """Return the tags of the objects that are in the folder now, by relative path."""
        return self._bucket.tags(self._target.key)

    def put_data(self, document: str) -> bool:
        """Put all files and return True; return False, and replace nothing, if a document has arrived meanwhile.

        We first put the files whose keys are free, then replace other content.
        """
        differing = [name for name, done in self._each(self._create, self._files) if not done]
        strangers = [name for name in self.present() if name not in self._files]
        if document in strangers:
            return False
        self._each(self._overwrite, differing)
        self._bucket.delete([self._target.key_of(name) for name in strangers])
        return True

    def settled(self) -> bool:
        """Return whether the folder holds exactly the objects that we put."""
        return self.present() == self._tags

    def restore(self, document: str) -> None:
        """After putting the document, put again what another writer, which did not see it yet, has overwritten."""
        tags = self.present()
        tags.pop(document, None)
        self._each(self._overwrite, [name for name, tag in self._tags.items() if tags.get(name) != tag])

    def _create(self, name: str) -> bool:
        """Put one file if its key is free; return whether the store then has the file's bytes."""
        key, data = self._target.key_of(name), self._files[name].read_bytes()
        tag = self._bucket.create(key, data)
        with suppress(CacheDamagedError):  # it is longer than ours
            if tag is None and (stored := self._bucket.get(key, len(data))) is not None and stored.data == data:
                tag = stored.tag
        if tag is not None:
            self._tags[name] = tag
        return tag is not None

    def _overwrite(self, name: str) -> bool:
        self._tags[name] = self._bucket.put(self._target.key_of(name), self._files[name].read_bytes())
        return True

    @staticmethod
    def _each(put: Callable[[str], bool], names: Iterable[str]) -> list[tuple[str, bool]]:
        wanted = list(names)
        with ThreadPoolExecutor(REQUESTS, thread_name_prefix="upload") as pool:
            return list(zip(wanted, pool.map(put, wanted), strict=True))
