"""Data sets of the hub as stores: one commit each, everything in the mirror, every refusal in one line."""

import pickle

import numpy as np
import pytest

from miniend.errors import CacheDamagedError, ConfigurationError, ObjectStoreError
from miniend.storage.columns.columns import Column
from miniend.storage.folder import PublishedFolder, publish_folder
from miniend.storage.stores import hub as hub_module
from miniend.storage.stores.hub import parse_address
from miniend.storage.stores.place import place_of
from support.hub import TOKEN, stub_hub, use

REPOSITORY = "datasets/me/x"
URL = "hf://datasets/me/x"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A published folder with a small column and one that the hub takes for a large file."""
    path = tmp_path_factory.mktemp("published") / "f"
    noise = np.random.default_rng(0).integers(0, 2**30, 2000).astype(np.int32)
    columns = {"a": Column(values=np.arange(300), axis="input"), "b": Column(values=noise, axis="input")}
    publish_folder(path, "marker", {"number": 1}, columns, {"note": b"note"})
    return path


def files_below(path, prefix="c/f/"):
    return {prefix + one.relative_to(path).as_posix(): one.read_bytes() for one in path.rglob("*") if one.is_file()}


@pytest.fixture
def hub(monkeypatch, tmp_path, folder):
    monkeypatch.setattr(hub_module, "PAUSES", (0.01, 0.01))
    with stub_hub() as server:
        use(monkeypatch, server, tmp_path)
        server.commit(REPOSITORY, files_below(folder))
        yield server


def offline(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_a_folder_reads_as_the_local_one_and_only_the_columns_that_are_used_are_fetched(hub, folder):
    """A training that needs logits should not pay for relations."""
    there, here = PublishedFolder(f"{URL}/c/f", "marker"), PublishedFolder(folder, "marker")
    assert np.array_equal(there.column("b"), here.column("b"))
    assert there.file("note") == b"note"
    assert not hub.asked("/c/f/a/")
    assert there.verify() == []
    assert there.digest == here.digest


def test_what_is_pushed_meanwhile_is_not_mixed_in(hub, folder):
    """Of two commits no reader gets half and half."""
    place = place_of(URL)
    assert place.names() == ["c"]
    hub.commit(REPOSITORY, {"c/f/marker.json": b"{}", "other": b""})
    assert (place.names(), sorted((place / "c").names())) == (["c"], ["f"])
    assert np.array_equal(PublishedFolder(place / "c" / "f", "marker").column("a"), np.arange(300))
    assert place_of(URL).names() == ["c", "other"]


def test_a_revision_may_be_named_and_another_process_finds_the_same_commit(hub):
    """A worker of a loader opens the cache anew, from what is pickled."""
    old = hub.repositories[REPOSITORY][0][0]
    hub.commit(REPOSITORY, {"new": b"1"})
    assert place_of(f"{URL}@{old}").names() == ["c"]
    place = place_of(URL)
    assert place.names() == ["new"]
    hub.commit(REPOSITORY, {"newer": b"1"})
    assert place_of(pickle.loads(pickle.dumps(place.pinned))).names() == ["new"]


def test_what_was_fetched_once_opens_without_a_network(hub, folder, monkeypatch):
    """The nodes of a cluster often have none."""
    PublishedFolder(f"{URL}/c/f", "marker").column("a")
    offline(monkeypatch)
    requests = len(hub.requests)
    again = PublishedFolder(f"{URL}/c/f", "marker")
    assert np.array_equal(again.column("a"), np.arange(300))
    with pytest.raises(
        ConfigurationError, match=r"x/c/f/b/.* was not fetched yet, and HF_HUB_OFFLINE is set: unset it"
    ):
        again.column("b")
    with pytest.raises(ConfigurationError, match="datasets/me/other was not fetched yet"):
        place_of("hf://datasets/me/other").names()
    assert len(hub.requests) == requests


def test_the_list_of_a_commit_is_asked_for_once(hub):
    """A cache of ten thousand shards has a hundred pages of names."""
    assert place_of(URL).files() == place_of(URL).files()
    assert len(hub.asked("GET /api/datasets/me/x$")) == 2
    pages = len(hub.asked("/tree/"))
    assert place_of(URL).has("c")
    assert len(hub.asked("/tree/")) == pages


def test_a_changed_or_foreign_mirror_is_fetched_again(hub, folder, tmp_path):
    """Anybody may clean up there."""
    PublishedFolder(f"{URL}/c/f", "marker").column("a")
    [kept] = tmp_path.glob("mirror/*/a/c/0")
    kept.write_bytes(kept.read_bytes()[::-1])
    [listing] = tmp_path.glob("mirror/*/.listing.json")
    listing.write_text('{"commit": 3}')
    assert np.array_equal(PublishedFolder(f"{URL}/c/f", "marker").column("a"), np.arange(300))


@pytest.mark.parametrize("status", [0, 429, 503])
def test_a_moments_trouble_is_tried_again(hub, status, capsys):
    """The hub limits requests, and every network drops one now and then."""
    hub.faults += [("resolve", status, 2), ("tree", status, 1), ("GET /api/datasets/me/x$", status, 1)]
    assert PublishedFolder(f"{URL}/c/f", "marker").file("note") == b"note"
    assert "hf://datasets/me/x: " in (said := capsys.readouterr().err)
    assert "trying again in 0.01 s (1 of 2)" in said


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, r"the connection to the hub failed \(the dataset me/x\): check the network, and HF_ENDPOINT"),
        (401, r"the hub does not know who asks for the dataset me/x \(401\).*hf auth login"),
        (403, r"the hub refuses access to the dataset me/x \(403\): check the rights of your token"),
        (404, r"the dataset me/x does not exist on the hub \(404\), or not for you: check the name"),
        (
            429,
            r"the hub has had too many requests for the dataset me/x \(429\): run the same command again in some minutes",
        ),
        (500, r"the hub fails to answer for the dataset me/x \(500\): run the same command again later"),
    ],
)
@pytest.mark.parametrize("where", ["GET /api/datasets/me/x$", "resolve"])
def test_every_refusal_is_one_line_without_the_token(hub, status, words, where):
    """What the hub says itself has several lines, with addresses that are signed."""
    hub.faults += [(where, status, 99)]
    with pytest.raises((ObjectStoreError, ConfigurationError), match=words) as raised:
        PublishedFolder(f"{URL}/c/f", "marker")
    assert TOKEN not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_private_repository_opens_for_its_owner_only(hub, monkeypatch):
    """Who is not allowed to see it should not learn more than that."""
    hub.private.add(REPOSITORY)
    assert place_of(URL).names() == ["c"]
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    with pytest.raises(ObjectStoreError, match="401"):
        place_of(URL).names()


def test_a_file_that_is_too_long_for_its_document_is_not_fetched(hub):
    """A foreign file could fill the memory."""
    place = place_of(f"{URL}/c/f")
    with pytest.raises(CacheDamagedError, match="expected at most 3 bytes, found 4"):
        place.fetch("note", 3)
    assert not hub.asked("note")
    with pytest.raises(FileNotFoundError):
        place.fetch("nothing", 3)


def test_a_folder_that_is_not_there_is_empty(hub):
    """Then the caller says that there is no cache."""
    assert place_of(f"{URL}/nowhere").names() == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hf://datasets/me/x", ("me/x", None, "")),
        ("hf://datasets/me/x/", ("me/x", None, "")),
        ("hf://datasets/me/x@v1/a//b/", ("me/x", "v1", "a/b")),
        ("hf://datasets/me/x@refs%2Fpr%2F1", ("me/x", "refs/pr/1", "")),
    ],
)
def test_an_address_has_a_repository_a_revision_and_a_folder(text, parts):
    """The form of huggingface_hub's own file system."""
    assert parse_address(text) == parts


@pytest.mark.parametrize(
    "text",
    ["hf://me/x", "hf://datasets/x", "hf://datasets/me/x/../y", "hf://datasets/../x", "hf://models/me/x", "hf://"],
)
def test_another_form_is_refused_before_any_request(text):
    """A typing error should not wait for a network."""
    with pytest.raises(ConfigurationError, match=r"expected hf://datasets/USER/NAME\[@REVISION\]\[/FOLDER\]"):
        place_of(text)


def test_nothing_is_published_there_directly(hub):
    """Workers need conditional puts, which the hub does not have."""
    with pytest.raises(
        ConfigurationError, match=r"can only be read; dump into a directory, and upload it with `miniend push"
    ):
        publish_folder(f"{URL}/g", "marker", {"number": 1}, {}, {})
    with pytest.raises(ConfigurationError, match="can only be read"):
        place_of(URL).require_writable()
