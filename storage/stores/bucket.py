"""One bucket of an object store: the few requests that a cache needs, through obstore, and its errors in one line each.

We fetch files whole and let zarr open the copies. A file's length and SHA-256 must be checked before anything of it is
decoded, so reading parts of objects would save nothing. obstore reads credentials and endpoints from the environment (AWS_*,
GOOGLE_*, AZURE_*).
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from ...errors import ConfigurationError, MiniEndError, ObjectStoreError, damaged

SCHEMES = ("s3", "gs", "az")
VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
RETRIES = {"max_retries": 5, "retry_timeout": timedelta(minutes=2)}
TIMEOUTS = {"connect_timeout": timedelta(seconds=10), "timeout": timedelta(minutes=10)}
NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
NO_CREDENTIALS = ("169.254.169.254", "metadata.google.internal", "must be specified")
"""Texts in the messages of obstore if it does not find a key, and then asks the machine itself who it is, or gives up."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's bytes, and the tag that the store gave to this version of it."""

    data: bytes
    tag: str


class Bucket:
    """A bucket (Azure: container) with `/`-separated keys. Its methods raise ConfigurationError or ObjectStoreError."""

    def __init__(self, scheme: str, name: str) -> None:
        """Open a bucket without a request. Raises ConfigurationError if obstore is missing or the settings cannot work."""
        self.scheme, self.name = scheme, name
        self.url = f"{scheme}://{name}"
        with self._plainly():
            self._store = _make_store(scheme, name)

    def get(self, key: str, most: int) -> StoredObject | None:
        """Return a whole object; None if the store does not have it.

        Raises CacheDamagedError, before its bytes are fetched, for one of more than `most` bytes.
        """
        with self._plainly():
            try:
                answer = self._store.get(key)
            except FileNotFoundError as error:
                if any(code in str(error) for code in NO_BUCKET):
                    raise
                return None
            if (length := answer.meta["size"]) > most:
                raise damaged(f"{self.url}/{key}", f"expected at most {most:,} bytes, found {length:,}")
            return StoredObject(bytes(answer.bytes()), _tag(answer.meta["e_tag"]))

    def create(self, key: str, data: bytes) -> str | None:
        """Put an object if its key is free and return its tag; else keep the present one and return None (If-None-Match: *)."""
        from obstore.exceptions import AlreadyExistsError

        with self._plainly():
            try:
                return _tag(self._store.put(key, data, mode="create")["e_tag"])
            except AlreadyExistsError:
                return None

    def put(self, key: str, data: bytes) -> str:
        """Put an object, replacing the present one, and return its tag."""
        with self._plainly():
            return _tag(self._store.put(key, data, use_multipart=False)["e_tag"])

    def names(self, prefix: str) -> list[str]:
        """Return the names right below a prefix, of objects and of further prefixes; one request per thousand."""
        with self._plainly():
            listing = self._store.list_with_delimiter(prefix or None)
            paths = [*listing["common_prefixes"], *(entry["path"] for entry in listing["objects"])]
            return sorted(path.rpartition("/")[2] for path in paths)

    def tags(self, prefix: str) -> dict[str, str]:
        """Return the tags of all objects below a prefix, at any depth, by key relative to it; one request per thousand."""
        with self._plainly():
            entries = [entry for chunk in self._store.list(prefix or None, chunk_size=1000) for entry in chunk]
            start = len(prefix) + 1 if prefix else 0
            return {entry["path"][start:]: _tag(entry["e_tag"]) for entry in entries}

    def delete(self, keys: Sequence[str]) -> None:
        """Remove the objects that exist, in this order if there is more than one request."""
        with self._plainly():
            if keys:
                self._store.delete(list(keys))

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """Turn everything that obstore raises into an error of one line."""
        try:
            yield
        except MiniEndError:
            raise
        except Exception as error:
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
        if "error sending request" in text:
            return ObjectStoreError(f"{self.url} cannot be reached: check the network, and the endpoint if you set one")
        return ObjectStoreError(f"{self.url}: {text.splitlines()[0][:300] if text else kind}")


@cache
def open_bucket(scheme: str, name: str) -> Bucket:
    """Return this process's bucket of that name, so that its users share its connections."""
    return Bucket(scheme, name)


def _make_store(scheme: str, name: str) -> Any:
    """Return obstore's store. For an endpoint that is given as http://, obstore needs a second setting to allow it."""
    try:
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError as error:
        raise ConfigurationError(f"{scheme}:// needs obstore: pip install 'miniend[cloud]'") from error
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    http = {"allow_http": True} if endpoint.startswith("http://") else {}
    stores: dict[str, Any] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    return stores[scheme](name, client_options={**TIMEOUTS, **http}, retry_config=RETRIES)


def _tag(tag: str | None) -> str:
    """Return an ETag without quotes, because some stores quote it only in headers or only in listings."""
    return (tag or "").strip('"')


def _code(text: str) -> str:
    """Return the store's own error code from its XML answer."""
    return text.partition("<Code>")[2].partition("</Code>")[0] or "permission denied"
