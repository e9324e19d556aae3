"""One bucket of an object store: the few requests that a cache needs, through obstore, and its errors in one line each.

We fetch files whole and let zarr open the copies. A file's length and SHA-256 must be checked before anything of it is
decoded, so reading parts of objects would save nothing. obstore reads credentials and endpoints from the environment (AWS_*,
GOOGLE_*, AZURE_*).
"""

import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

from ...errors import ConfigurationError, MiniEndError, ObjectStoreError, damaged
from .requests import NO_CREDENTIALS, PAUSES, SECONDS, Requests, is_silence, pieces, within
from .store import Store, StoredObject

SCHEMES = ("s3", "gs", "az")
VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
CONNECTING = timedelta(seconds=5)
WHOLE_TRANSFER = timedelta(hours=6)
"""The limit of obstore for a whole object, far too long to matter, because we watch the pieces ourselves."""
PIECE = 1 << 18
"""The bytes of an object that must arrive before the store counts as silent."""
NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
T = TypeVar("T")


class Bucket(Store):
    """A bucket (Azure: container) with `/`-separated keys. Its methods raise ConfigurationError or ObjectStoreError."""

    def __init__(self, scheme: str, name: str) -> None:
        """Open a bucket without a request. Raises ConfigurationError if obstore is missing or the settings cannot work."""
        self.scheme, self.name = scheme, name
        self.url = f"{scheme}://{name}"
        self._requests = Requests(self.url)
        self._exclusive = False
        with self._plainly():
            self._store = _make_store(scheme, name, WHOLE_TRANSFER)
            self._lists = _make_store(scheme, name, timedelta(seconds=SECONDS))

    def get(self, key: str, most: int) -> StoredObject | None:
        async def fetched() -> StoredObject:
            answer = await within(self._store.get_async(key))
            if answer.meta["size"] > most:
                what = f"expected at most {most:,} bytes, found {answer.meta['size']:,}"
                raise damaged(f"{self.url}/{key}", what)
            data = b"".join([bytes(piece) async for piece in pieces(answer.stream(PIECE).__aiter__())])
            return StoredObject(data, _tag(answer.meta["e_tag"]))

        try:
            return self._ask(fetched, FileNotFoundError)
        except FileNotFoundError as error:
            if any(code in str(error) for code in NO_BUCKET):
                raise self._explained(error) from error
            return None

    def create(self, key: str, data: bytes) -> str | None:
        """Put an object if its key is free and return its tag; else keep the present one and return None (If-None-Match: *).

        The first time we ask twice. Raises ObjectStoreError for a store that refuses the condition, or that ignores it.
        """
        tag = self._create(key, data)
        if tag is not None and not self._exclusive:
            if self._create(key, data) is not None:
                raise ObjectStoreError(
                    f"{self.url} ignores the condition of conditional puts, which a cache needs to publish: use another store"
                )
            self._exclusive = True
        return tag

    def _create(self, key: str, data: bytes) -> str | None:
        from obstore.exceptions import AlreadyExistsError

        try:
            return _tag(
                self._ask(
                    lambda: within(self._store.put_async(key, data, mode="create"), len(data)), AlreadyExistsError
                )["e_tag"]
            )
        except AlreadyExistsError:
            return None

    def put(self, key: str, data: bytes) -> str:
        """Put an object, replacing the present one, and return its tag."""
        answer = self._ask(lambda: within(self._store.put_async(key, data, use_multipart=False), len(data)))
        return _tag(answer["e_tag"])

    def names(self, prefix: str) -> list[str]:
        """As in `Store`; one request per thousand."""
        listing = self._ask(lambda: self._lists.list_with_delimiter_async(prefix or None))
        paths = [*listing["common_prefixes"], *(entry["path"] for entry in listing["objects"])]
        return sorted(path.rpartition("/")[2] for path in paths)

    def tags(self, prefix: str) -> dict[str, str]:
        """As in `Store`; one request per thousand."""

        async def listed() -> list[Any]:
            stream = self._lists.list(prefix or None, chunk_size=1000)
            return [entry async for chunk in stream for entry in chunk]

        start = len(prefix) + 1 if prefix else 0
        return {entry["path"][start:]: _tag(entry["e_tag"]) for entry in self._ask(listed)}

    def delete(self, keys: Sequence[str]) -> None:
        """Remove the objects that exist, in this order if there is more than one request."""
        if keys:
            self._ask(lambda: self._lists.delete_async(list(keys)))

    def _ask(self, request: Callable[[], Awaitable[T]], *answer: type[Exception]) -> T:
        """Make a request. Let errors of the types `answer` pass, because they tell what the store has."""
        with self._plainly(*answer):
            return self._requests.ask(request)

    @contextmanager
    def _plainly(self, *answer: type[Exception]) -> Iterator[None]:
        """Turn everything that obstore raises into an error of one line, except errors of the types `answer`."""
        try:
            yield
        except Exception as error:
            if isinstance(error, (MiniEndError, *answer)):
                raise
            if type(error).__module__.split(".")[0] not in ("obstore", "builtins"):
                raise
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> MiniEndError:
        text = str(error)
        kind = type(error).__name__
        if any(code in text for code in NO_BUCKET):
            return ConfigurationError(f"{self.url} does not exist: create it, or correct the URL")
        if any(sign in text for sign in NO_CREDENTIALS):
            return ConfigurationError(f"no credentials for {self.url}: set {VARIABLES[self.scheme]}")
        if kind in ("UnauthenticatedError", "PermissionDeniedError") or "403 Forbidden" in text:
            return ObjectStoreError(f"{self.url} refuses access ({_code(text)}): check {VARIABLES[self.scheme]}")
        if kind in ("NotSupportedError", "NotImplementedError") or "501 Not Implemented" in text:
            return ObjectStoreError(
                f"{self.url} refuses conditional puts, which a cache needs to publish: use another store"
            )
        if is_silence(error):
            return ObjectStoreError(
                f"{self.url} does not answer, {len(PAUSES) + 1} times in a row: check the network, and run the same command again"
            )
        if "error sending request" in text:
            return ObjectStoreError(f"{self.url} cannot be reached: check the network, and the endpoint if you set one")
        return ObjectStoreError(f"{self.url}: {text.splitlines()[0][:300] if text else kind}")


@cache
def open_bucket(scheme: str, name: str) -> Bucket:
    """Return this process's bucket of that name, so that its users share its connections."""
    return Bucket(scheme, name)


def _make_store(scheme: str, name: str, timeout: timedelta) -> Any:
    """Return obstore's store, whose requests end after this time.

    For an endpoint that is given as http://, obstore needs a second setting to allow it.
    """
    try:
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError as error:
        raise ConfigurationError(f"{scheme}:// needs obstore: pip install 'miniend[cloud]'") from error
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    options = {"connect_timeout": CONNECTING, "timeout": timeout}
    http = {"allow_http": True} if endpoint.startswith("http://") else {}
    stores: dict[str, Any] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    return stores[scheme](name, client_options={**options, **http}, retry_config={"max_retries": 0})


def _tag(tag: str | None) -> str:
    """Return an ETag without quotes, because some stores quote it only in headers or only in listings."""
    return (tag or "").strip('"')


def _code(text: str) -> str:
    """Return the store's own error code from its XML answer."""
    return text.partition("<Code>")[2].partition("</Code>")[0] or "permission denied"
