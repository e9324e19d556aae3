"""Intentions: a writer says in the store what it is about to publish, so that two writers never mix their bytes.

An intention is an object `.begun/NAME/N` beside the folder NAME, put only if its key is free, that holds the folder's document.
The highest N counts. Writers of the same document work together. A writer of another one waits until the folder is published. If
nothing changes for longer than a living writer can be silent, it takes over with N + 1. Whoever publishes removes them all.
"""

from time import monotonic, sleep

from ...runtime.printing import say
from ...runtime.stopping import raise_if_asked
from ..documents.seal import MAXIMUM_BYTES
from ..stores.place import Place
from ..stores.requests import longest_silence

FOLDER = ".begun"
POLL_SECONDS = 1.0


class Intention:
    """One writer's intention to publish a folder in an object store."""

    def __init__(self, target: Place, document: str, sealed: bytes, largest: int) -> None:
        """`sealed` is the document, `document` its name, `largest` the bytes of the largest file of the folder."""
        self._bucket, self._target, self._document, self._sealed = target.writable(), target, document, sealed
        self._said, self._tag = False, ""
        self._quiet = longest_silence(max(largest, len(sealed)))
        parent, _, name = target.key.rpartition("/")
        self._prefix = f"{parent}/{FOLDER}/{name}".lstrip("/")

    def prevails(self) -> bool:
        """Declare the intention and return True when it counts; return False if the folder is published already."""
        while not self._is_published():
            self._tag = self._bucket.create(self._key(0), self._sealed) or self._tag
            if not self.stands():
                self._wait()
            elif not self._is_published():  # a writer of other bytes that comes now meets our intention
                return True
        self.remove()
        return False

    def stands(self) -> bool:
        """Return whether this intention, or an equal one, is the one that counts."""
        tags = self._intentions()
        if not tags:
            return False
        last = max(tags)
        if tags[last] == self._tag:
            return True
        stored = self._bucket.get(self._key(last), MAXIMUM_BYTES)
        return stored is not None and stored.data == self._sealed

    def remove(self) -> None:
        """Remove the intentions of all writers, because the folder is published."""
        self._bucket.delete([f"{self._prefix}/{name}" for name in self._bucket.tags(self._prefix)])

    def _intentions(self) -> dict[int, str]:
        """Return the tags of all intentions by number."""
        return {int(name): tag for name, tag in self._bucket.tags(self._prefix).items() if name.isdigit()}

    def _key(self, number: int) -> str:
        return f"{self._prefix}/{number}"

    def _is_published(self) -> bool:
        return self._document in self._bucket.names(self._target.key)

    def _wait(self) -> None:
        """Wait until another writer does something; take over if it is silent for too long."""
        before, begun = self._state(), monotonic()
        if not self._said:
            self._say("another worker is publishing it; waiting for that")
            self._said = True
        while (now := self._state()) == before and now[1]:
            raise_if_asked()
            sleep(POLL_SECONDS)
            if monotonic() - begun > self._quiet:
                self._say(f"the other worker has done nothing for {self._quiet:.0f} s; going on without it")
                self._tag = self._bucket.create(self._key(max(now[1]) + 1), self._sealed) or self._tag
                return

    def _say(self, what: str) -> None:
        say(f"{self._target}: {what}", err=True)

    def _state(self) -> tuple[dict[str, str], dict[int, str]]:
        return self._bucket.tags(self._target.key), self._intentions()
