"""One tiny cache for all tests of sharing, and a hub to share it on."""

import pytest

from miniend.storage.stores import hub as hub_module
from support.hub import stub_hub, use
from support.tiny_cache import build_tiny_cache


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    """A finished cache that nobody changes."""
    return build_tiny_cache(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """An empty hub, and a mirror of its own."""
    monkeypatch.setattr(hub_module, "PAUSES", (0.01,))
    with stub_hub() as server:
        use(monkeypatch, server, tmp_path)
        yield server
