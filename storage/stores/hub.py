"""A data set repository of the Hugging Face hub, read as a store of caches: hf://datasets/USER/NAME[@REVISION][/FOLDER].

We ask through huggingface_hub, and not through obstore's HTTP store: it knows the user's token, HF_ENDPOINT, proxies, private
repositories and HF_HUB_OFFLINE, and plain HTTP does not list files. The first request settles the commit. Everything else is read
at that commit, so that a push in between cannot mix two versions. The mirror keeps the list of files, so that what was fetched
once opens without a network.
"""

import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import unquote

from ...errors import ConfigurationError, damaged
from ...runtime.durable import write_durably
from ...runtime.hub_errors import explained, is_offline, is_refusal, passes, status_of
from ...runtime.json_file import read_json
from .requests import SECONDS, Requests, in_thread
from .store import Store, StoredObject

SCHEME = "hf"
FORM = "hf://datasets/USER/NAME[@REVISION][/FOLDER]"
LISTING = ".listing.json"
"""The list of the files of a commit, in the mirror. Readers of caches ignore names that start with a dot."""
PAUSES = (1.0, 4.0, 15.0, 60.0, 120.0)
"""The seconds of rest before each further attempt; the hub lifts its limits on requests within minutes."""
_ADDRESS = re.compile(r"datasets/([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.*))?")
T = TypeVar("T")


class HubDataset(Store):
    """One folder of a data set on the hub, at one commit."""

    def __init__(self, name: str, revision: str | None, folder: str, mirror: Path) -> None:
        """Make no request. `mirror` is the directory that has the copies of what is in `folder`."""
        self.name, self.revision, self.folder, self.mirror = name, revision, folder, mirror
        self.url = f"hf://datasets/{name}" + (f"@{_quoted(revision)}" if revision else "")
        self._requests = HubRequests(self.url, f"the dataset {self.url.removeprefix('hf://datasets/')}")
        self._lock = threading.Lock()
        self._pinned: _Listing | None = None

    @property
    def pinned_url(self) -> str:
        """The URL of this repository at the commit that we read."""
        return f"hf://datasets/{self.name}@{self._listing.commit}"

    def get(self, key: str, most: int) -> StoredObject | None:
        """As in `Store`. Without a network, on purpose, the mirror's copy is the answer."""
        entry = self._listing.files.get(key)
        if entry is None:
            return None
        size, tag = entry
        if size > most:
            raise damaged(f"{self.url}/{key}", f"expected at most {most:,} bytes, found {size:,}")
        try:
            return StoredObject(self._requests.ask(partial(self._download, key, size)), tag)
        except HubOfflineError as error:
            path = self.mirror / PurePosixPath(key).relative_to(self.folder or ".")
            if path.is_file() and path.stat().st_size == size:
                return StoredObject(path.read_bytes(), tag)
            raise ConfigurationError(
                f"{self.url}/{key} was not fetched yet, and HF_HUB_OFFLINE is set: unset it for the first time that you read "
                "this part of the cache"
            ) from error

    def names(self, prefix: str) -> list[str]:
        """As in `Store`, from the list that we keep."""
        return sorted({name.split("/")[0] for name in self.tags(prefix)})

    def tags(self, prefix: str) -> dict[str, str]:
        """As in `Store`, from the list that we keep."""
        start = f"{prefix}/" if prefix else ""
        return {key[len(start) :]: tag for key, (_, tag) in self._listing.files.items() if key.startswith(start)}

    @property
    def _listing(self) -> "_Listing":
        """The commit that we read and its files. The first use asks the hub, and keeps the answer in the mirror."""
        with self._lock:
            if self._pinned is None:
                self._pinned = self._settled()
            return self._pinned

    def _settled(self) -> "_Listing":
        kept = _Listing.read(self.mirror / LISTING)
        try:
            commit = self._requests.ask(self._commit)
        except HubOfflineError as error:
            if kept is None:
                raise ConfigurationError(
                    f"{self.url} was not fetched yet, and HF_HUB_OFFLINE is set: unset it for the first time"
                ) from error
            return kept
        if kept is not None and kept.commit == commit:
            return kept
        listing = _Listing(commit, self._requests.ask(partial(files_of, "dataset", self.name, commit, self.folder)))
        listing.write(self.mirror / LISTING)
        return listing

    def _commit(self) -> str:
        from huggingface_hub import HfApi

        commit = HfApi().dataset_info(self.name, revision=self.revision, timeout=SECONDS).sha
        if not commit:
            raise ConfigurationError(f"{self.url}: the hub does not name a commit for it")
        return str(commit)

    def _download(self, key: str, size: int) -> bytes:
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        url = hf_hub_url(self.name, key, repo_type="dataset", revision=self._listing.commit)
        response = get_session().get(url, headers=build_hf_headers(), timeout=SECONDS)
        hf_raise_for_status(response)
        data = bytes(response.content)
        if len(data) != size:
            raise ConnectionError(f"error: {len(data):,} of {size:,} bytes arrived")
        return data


def files_of(kind: str, name: str, commit: str, folder: str = "") -> dict[str, tuple[int, str]]:
    """Return the size and the tag of each file below a folder of a repository; none if it does not have the folder.

    The tag is the SHA-256 of a large file's bytes, and git's SHA-1 of a small file.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    listed = HfApi().list_repo_tree(name, folder or None, recursive=True, revision=commit, repo_type=kind)
    try:
        files = [entry for entry in listed if isinstance(entry, RepoFile)]
    except Exception as error:
        if folder and status_of(error) == 404:
            return {}
        raise
    return {file.path: (file.size, file.lfs.sha256 if file.lfs else file.blob_id) for file in files}


class HubRequests:
    """The requests about one repository of the hub: tried again after a moment's trouble, their errors in one line each."""

    def __init__(self, url: str, what: str) -> None:
        """`what` names the repository in messages, such as `the dataset me/cache`."""
        self._requests, self._what = Requests(url, passes, PAUSES), what

    def ask(self, call: Callable[[], T]) -> T:
        """Return what a call of huggingface_hub returns.

        Raises HubOfflineError if HF_HUB_OFFLINE forbids it, ConfigurationError or ObjectStoreError if the hub refuses.
        """

        async def asked() -> T:
            return await in_thread(call)

        try:
            return self._requests.ask(asked)
        except Exception as error:
            if is_offline(error):
                raise HubOfflineError(str(explained(error, self._what))) from error
            if not is_refusal(error):
                raise
            raise explained(error, self._what) from error


class HubOfflineError(ConfigurationError):
    """HF_HUB_OFFLINE forbids the request."""


class _Listing:
    """A commit, and the size and tag of each of its files by key."""

    def __init__(self, commit: str, files: dict[str, tuple[int, str]]) -> None:
        self.commit, self.files = commit, files

    @classmethod
    def read(cls, path: Path) -> "_Listing | None":
        """Return what the mirror has; None if it has none that can be read, because anybody may remove or change it."""
        try:
            document = read_json(path)
            files = {str(key): (int(size), str(tag)) for key, (size, tag) in document["files"].items()}
            return cls(str(document["commit"]), files)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, path: Path) -> None:
        """Keep it in the mirror. On a full disk we go without it, until the first file says so."""
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, json.dumps({"commit": self.commit, "files": self.files}).encode())


def parse_address(text: str) -> tuple[str, str | None, str]:
    """Return repository, revision and folder of `hf://datasets/USER/NAME[@REVISION][/FOLDER]`.

    A slash in the revision is written %2F, as elsewhere on the hub. Raises ConfigurationError for another form.
    """
    found = _ADDRESS.fullmatch(text.partition("://")[2])
    parts = [part for part in (found[3] or "").split("/") if part] if found else []
    if not found or {".", ".."} & {*parts, *found[1].split("/")}:
        raise ConfigurationError(f"{text}: expected {FORM}")
    return found[1], unquote(found[2]) if found[2] else None, "/".join(parts)


def _quoted(revision: str) -> str:
    return revision.replace("/", "%2F")
