"""Object stores: create-only puts, publishing with the document last, and every failure in one line."""

import threading
from itertools import count

import numpy as np
import pytest

from miniend.errors import CacheDamagedError, CacheMismatchError, ConfigurationError, ObjectStoreError
from miniend.storage.columns.columns import Column
from miniend.storage.folder import PublishedFolder, folder_exists, publish_folder
from miniend.storage.publishing import upload as upload_module
from miniend.storage.publishing.discard import discard
from miniend.storage.stores.bucket import Bucket, open_bucket
from miniend.storage.stores.place import place_of
from support.object_store import use

COLUMNS = {name: Column(values=np.arange(300) + k, axis="input") for k, name in enumerate(("a", "b"))}


def publish(where, number=0, columns=COLUMNS):
    return publish_folder(where, "marker", {"number": number}, columns, {"note": b"%d" % number})


def test_an_object_is_created_once(bucket):
    """All exclusiveness rests on this one request."""
    store = open_bucket("s3", bucket.name)
    tag = store.create("x/y", b"1")
    assert tag
    assert store.create("x/y", b"2") is None
    assert store.get("x/y", 1).data == b"1"
    assert store.get("x/y", 1).tag == tag == store.tags("x")["y"]
    assert store.put("x/y", b"3") == store.tags("")["x/y"] != tag
    assert (store.get("x/z", 1), store.names(""), store.names("x")) == (None, ["x"], ["y"])
    store.delete(["x/y", "x/none"])
    assert store.tags("") == {}


def test_a_folder_in_a_store_is_the_local_one_byte_for_byte(bucket, tmp_path):
    """A cache may be copied from one to the other."""
    digest = publish(f"{bucket.url}/c/f")
    assert publish(tmp_path / "f") == digest
    local = {f"c/f/{p.relative_to(tmp_path / 'f')}": p.read_bytes() for p in (tmp_path / "f").rglob("*") if p.is_file()}
    assert bucket.contents() == local
    folder = PublishedFolder(f"{bucket.url}/c/f", "marker")
    assert np.array_equal(folder.column("b"), COLUMNS["b"].values)
    assert (folder.file("note"), folder.verify()) == (b"0", [])
    assert folder.total_bytes == sum(map(len, local.values()))


def test_what_is_published_stays_and_an_equal_folder_is_discarded(bucket):
    """As in a directory: a rerun is welcome, another content is not."""
    where = f"{bucket.url}/f"
    digest = publish(where)
    before = bucket.contents()
    assert publish(where) == digest
    with pytest.raises(CacheMismatchError, match="holds something else"):
        publish(where, number=1)
    assert bucket.contents() == before


def test_a_writer_that_died_before_the_document_is_overtaken(bucket):
    """Its objects may be of another environment, of other names, or already right."""
    where = f"{bucket.url}/f"
    publish(f"{bucket.url}/whole")
    sound = bucket.contents("whole")
    bucket.write("f/a/c/0", b"other bytes")
    bucket.write("f/a/zarr.json", sound["whole/a/zarr.json"])
    bucket.write("f/stranger/c/0", b"of no column")
    assert not folder_exists(where, "marker")
    with pytest.raises(CacheDamagedError, match=r"f/marker\.json is damaged: it cannot be read"):
        PublishedFolder(where, "marker")
    publish(where)
    assert bucket.contents("f") == {key.replace("whole", "f", 1): data for key, data in sound.items()}


def test_of_two_racing_writers_one_publishes_and_both_agree(bucket):
    """Two workers that were given the same shard."""
    digests, barrier = [], threading.Barrier(4)

    def write():
        barrier.wait()
        digests.append(publish(f"{bucket.url}/f"))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(digests) == 4
    assert len(set(digests)) == 1
    assert PublishedFolder(f"{bucket.url}/f", "marker", fresh=True).verify() == []


def test_a_document_that_lands_between_our_data_and_our_document_wins(bucket, monkeypatch):
    """The later document must not replace the one that readers have seen."""
    where, create = f"{bucket.url}/f", Bucket.create
    publish(f"{bucket.url}/other", number=1)
    theirs = bucket.contents("other")

    def overtaken(self, key, data):
        if key == "f/marker.json":
            for name, content in theirs.items():
                bucket.write(name.replace("other", "f", 1), content)
        return create(self, key, data)

    monkeypatch.setattr(Bucket, "create", overtaken)
    with pytest.raises(CacheMismatchError, match="holds something else"):
        publish(where)
    assert bucket.contents("f") == {key.replace("other", "f", 1): data for key, data in theirs.items()}


def test_objects_overwritten_by_another_writer_before_the_document_are_noticed(bucket, monkeypatch):
    """Published as they were, the document would list other bytes than stand there."""
    put, calls = upload_module._Upload.put_data, count()

    def disturbed(self, document, times):
        done = put(self, document)
        if next(calls) < times:
            bucket.write(self._target.key_of("a/c/0"), b"theirs")
        return done

    monkeypatch.setattr(upload_module._Upload, "put_data", lambda self, document: disturbed(self, document, 1))
    publish(f"{bucket.url}/f")
    assert PublishedFolder(f"{bucket.url}/f", "marker").verify() == []
    monkeypatch.setattr(upload_module._Upload, "put_data", lambda self, document: disturbed(self, document, 99))
    with pytest.raises(CacheMismatchError, match="another writer"):
        publish(f"{bucket.url}/g")
    assert "g/marker.json" not in bucket.contents("g")


def test_objects_overwritten_just_before_the_document_are_put_again(bucket, monkeypatch):
    """The last gap: a writer that has seen no document yet is still at it."""
    create = Bucket.create

    def late(self, key, data):
        if key.endswith("marker.json"):
            bucket.write("f/a/c/0", b"theirs")
        return create(self, key, data)

    monkeypatch.setattr(Bucket, "create", late)
    publish(f"{bucket.url}/f")
    assert PublishedFolder(f"{bucket.url}/f", "marker").verify() == []


def test_a_damaged_mirror_is_fetched_again_and_a_damaged_object_is_refused(bucket):
    """The mirror is a copy; the store is the cache."""
    publish(f"{bucket.url}/f")
    mirror = place_of(f"{bucket.url}/f").local
    for path in [path for path in mirror.rglob("*") if path.is_file()]:
        path.write_bytes(b"damaged")
        folder = PublishedFolder(f"{bucket.url}/f", "marker")
        assert np.array_equal(folder.column("a"), COLUMNS["a"].values)
        assert folder.file("note") == b"0"
        assert np.array_equal(folder.column("b"), COLUMNS["b"].values)
        assert path.read_bytes() != b"damaged"
    data = bucket.read("f/a/c/0")
    bucket.write("f/a/c/0", data[:-1] + bytes([data[-1] ^ 1]))
    folder = PublishedFolder(f"{bucket.url}/f", "marker")
    assert len(folder.verify()) == 1
    with pytest.raises(CacheDamagedError, match=f"{bucket.url}/f/a/c/0 is damaged: its SHA-256"):
        folder.column("a")
    bucket.remove("f/b/zarr.json")
    bucket.write("f/unlisted", b"")
    told = " ".join(problems := folder.verify())
    assert len(problems) == 3
    assert all(text in told for text in ("a/c/0 is damaged", "b/zarr.json is damaged", "unlisted is not listed"))


def test_discarding_takes_the_documents_first(bucket, monkeypatch):
    """A plan whose tokenizer is half gone must not be opened by anybody."""
    for name in ("segments/a", "segments/b", "plan"):
        publish(place_of(f"{bucket.url}/c") / name)
    publish(f"{bucket.url}/c/shards/s")
    deleted, delete = [], Bucket.delete

    def noting(self, keys):
        deleted.append(list(keys))
        delete(self, keys)

    monkeypatch.setattr(Bucket, "delete", noting)
    discard(f"{bucket.url}/c", "segments", "plan")
    assert deleted[:2] == [["c/segments/b/marker.json"], ["c/segments/a/marker.json"]]
    assert deleted[3] == ["c/plan/marker.json"]
    assert {key.split("/")[1] for key in bucket.contents()} == {"shards"}
    assert not (place_of(f"{bucket.url}/c") / "plan").local.exists()


def one_line(error):
    return "\n" not in str(error.value) and len(str(error.value)) < 200


def test_failures_are_one_line_each(bucket, monkeypatch, tmp_path):
    """obstore's own messages are pages of Rust."""
    for attempt in (lambda: publish("s3://missing-bucket/f"), lambda: folder_exists("s3://missing-bucket/f", "plan")):
        with pytest.raises(ConfigurationError, match="s3://missing-bucket does not exist") as error:
            attempt()
        assert one_line(error)
    use(monkeypatch, "http://127.0.0.1:9", tmp_path)
    monkeypatch.setattr("miniend.storage.stores.requests.PAUSES", ())
    with pytest.raises(ObjectStoreError, match="cannot be reached") as error:
        folder_exists(f"{bucket.url}/f", "plan")
    assert one_line(error)
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(ConfigurationError, match="no credentials for az://container: set AZURE_STORAGE_ACCOUNT_NAME"):
        place_of("az://container/x")


@pytest.mark.parametrize(
    ("text", "kind", "match"),
    [
        ("PUT http://169.254.169.254/latest/api/token: 403 Forbidden", ConfigurationError, "set AWS_ACCESS_KEY_ID"),
        ("403 Forbidden: <Code>SignatureDoesNotMatch</Code>", ObjectStoreError, r"refuses access \(SignatureDoesNot"),
        ("501 Not Implemented: <Code>NotImplemented</Code>", ObjectStoreError, "refuses conditional puts"),
        ("Generic S3 error: something\n\nDebug source: pages", ObjectStoreError, r"something$"),
    ],
)
def test_answers_of_a_store_that_moto_does_not_give_are_explained(bucket, text, kind, match):
    """Texts as obstore gave them, shortened."""
    from obstore.exceptions import GenericError

    store = Bucket("s3", bucket.name)

    class Refusing:
        async def put_async(self, *_arguments, **_named):
            raise GenericError(text)

    store._store = Refusing()
    with pytest.raises(kind, match=match) as error:
        store.create("x", b"")
    assert one_line(error)
