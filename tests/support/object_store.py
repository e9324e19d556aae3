"""An S3 server on loopback: moto's, in a thread, with one empty bucket per test and a mirror of its own."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from miniend.storage.stores.bucket import open_bucket


@contextmanager
def s3_server() -> Iterator[str]:
    """The URL of a running server."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class TestBucket:
    """A bucket, seen past our own code through boto3."""

    __test__ = False

    def __init__(self, endpoint: str, name: str) -> None:
        self.name, self.url = name, f"s3://{name}"
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        self._client: Any = boto3.client("s3", endpoint_url=endpoint, **keys)
        self._client.create_bucket(Bucket=name)

    def contents(self, prefix: str = "") -> dict[str, bytes]:
        """All objects below a prefix by key."""
        found = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix).get("Contents", [])
        return {entry["Key"]: self.read(entry["Key"]) for entry in found}

    def read(self, key: str) -> bytes:
        """One object."""
        return bytes(self._client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def write(self, key: str, data: bytes) -> None:
        """Put one object over whatever stands there."""
        self._client.put_object(Bucket=self.name, Key=key, Body=data)

    def remove(self, key: str) -> None:
        """Delete one object."""
        self._client.delete_object(Bucket=self.name, Key=key)


def use(monkeypatch: pytest.MonkeyPatch, endpoint: str, mirror: Path) -> None:
    """Point the environment at the server and at an empty mirror."""
    settings = {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "REGION": "us-east-1", "ENDPOINT_URL": endpoint}
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("MINIEND_MIRROR", str(mirror))
    open_bucket.cache_clear()
