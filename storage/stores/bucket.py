"""One bucket of an object store: the few requests that a cache needs, through obstore, and its errors in one line each.

Files are fetched whole and not read by range, and zarr opens the copies: a file's length and SHA-256 must be checked before
anything of it is decoded, so a store that hands zarr parts of objects would have nothing to offer. Credentials and
endpoints are what obstore reads from the environment (AWS_*, GOOGLE_*, AZURE_*).
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from ...errors import ConfigurationError, MiniEndError, ObjectStoreError

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
"""What the messages hold when obstore, finding no key, asks the machine itself who it is, or gives up."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's bytes and the tag that its store gave to this version of it."""

    data: bytes
    tag: str


class Bucket:
    """A bucket (Azure: container); keys are `/`-separated. Every method raises ConfigurationError or ObjectStoreError."""

    def __init__(self, scheme: str, name: str) -> None:
        """No request is sent. Raises ConfigurationError where obstore is missing or the settings cannot work."""
        self.scheme, self.name = scheme, name
        self.url = f"{scheme}://{name}"
        with self._plainly():
            self._store = _make_store(scheme, name)

    def get(self, key: str) -> StoredObject | None:
        """A whole object; None where there is none."""
        with self._plainly():
            try:
                found = self._store.get(key)
            except FileNotFoundError as error:
                if any(code in str(error) for code in NO_BUCKET):
                    raise
                return None
            return StoredObject(bytes(found.bytes()), _tag(found.meta["e_tag"]))

    def create(self, key: str, data: bytes) -> str | None:
        """Put an object where there is none and return its tag; None where one stands, which stays (If-None-Match: *)."""
        from obstore.exceptions import AlreadyExistsError

        with self._plainly():
            try:
                return _tag(self._store.put(key, data, mode="create")["e_tag"])
            except AlreadyExistsError:
                return None

    def put(self, key: str, data: bytes) -> str:
        """Put an object in the place of whatever stands there and return its tag."""
        with self._plainly():
            return _tag(self._store.put(key, data, use_multipart=False)["e_tag"])

    def names(self, prefix: str) -> list[str]:
        """The names right below a prefix, of objects and of further prefixes; one request per thousand."""
        with self._plainly():
            found = self._store.list_with_delimiter(prefix or None)
            paths = [*found["common_prefixes"], *(entry["path"] for entry in found["objects"])]
            return sorted(path.rpartition("/")[2] for path in paths)

    def tags(self, prefix: str) -> dict[str, str]:
        """The tags of all objects below a prefix, at any depth, by key relative to it; one request per thousand."""
        with self._plainly():
            entries = [entry for chunk in self._store.list(prefix or None, chunk_size=1000) for entry in chunk]
            start = len(prefix) + 1 if prefix else 0
            return {entry["path"][start:]: _tag(entry["e_tag"]) for entry in entries}

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, in this order where there is more than one request; what is not there is passed over."""
        with self._plainly():
            if keys:
                self._store.delete(list(keys))

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """Everything that obstore raises becomes one line."""
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
                f"{self.url} refuses conditional puts, without which nothing can be published there"
            )
        if "error sending request" in text:
            return ObjectStoreError(f"{self.url} cannot be reached: check the network, and the endpoint if you set one")
        return ObjectStoreError(f"{self.url}: {text.splitlines()[0][:300] if text else kind}")


@cache
def open_bucket(scheme: str, name: str) -> Bucket:
    """The bucket of this process by that name; its connections are shared."""
    return Bucket(scheme, name)


def _make_store(scheme: str, name: str) -> Any:
    """obstore's store. An endpoint that was given as http:// is meant; obstore wants to be told so a second time."""
    try:
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError as error:
        raise ConfigurationError(f"{scheme}:// needs obstore: pip install 'miniend[cloud]'") from error
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    http = {"allow_http": True} if endpoint.startswith("http://") else {}
    stores: dict[str, Any] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    return stores[scheme](name, client_options={**TIMEOUTS, **http}, retry_config=RETRIES)


def _tag(tag: str | None) -> str:
    """An ETag as headers and listings both give it: some stores quote it in one of them alone."""
    return (tag or "").strip('"')


def _code(text: str) -> str:
    """The store's own error code, from its XML answer."""
    return text.partition("<Code>")[2].partition("</Code>")[0] or "permission denied"
