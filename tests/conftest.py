"""For all tests: one thread per process, since tiny models only wait for more, and no hub is ever asked."""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import itertools
import sys

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")

_buckets = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """A dump gives its process the threads of the plan; the next module has one again."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def s3_endpoint():
    """An S3 server on loopback; it starts with the first test that wants one."""
    from support.object_store import s3_server

    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(s3_endpoint, monkeypatch, tmp_path):
    """A new bucket, the environment that leads to it, and an empty mirror."""
    from support.object_store import TestBucket, use

    use(monkeypatch, s3_endpoint, tmp_path / "mirror")
    return TestBucket(s3_endpoint, f"bucket-{next(_buckets)}")
