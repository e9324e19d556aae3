"""A cache on the hub: uploaded whole and in parts, grown, and read from there as from its directory."""

import shutil
from itertools import pairwise

import pytest

import miniend
from miniend.errors import (
    CacheDamagedError,
    CacheMismatchError,
    CacheUnfinishedError,
    ConfigurationError,
    ObjectStoreError,
)
from miniend.recipes.inspect.inspection import inspect_cache
from miniend.recipes.repair.verify import verify_cache
from miniend.recipes.share import push_cache as push_module
from miniend.recipes.share.config import PushCacheConfig
from miniend.recipes.share.push_cache import push_cache
from miniend.storage.survey import OPTIONS_FILE
from miniend.student_train.config import TrainConfig
from miniend.student_train.train import train_student
from support.hub import TOKEN

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own upload
REPOSITORY = "datasets/me/tiny"
URL = "hf://datasets/me/tiny"


def push(cache, **options):
    said = []
    url = push_cache(PushCacheConfig(name="me/tiny", cache=cache, **options), said.append)
    assert url == URL
    return " ".join(said)


def files_of(cache):
    """The files of the cache; the options of its dump, which name paths of this machine, stay here."""
    files = {path.relative_to(cache).as_posix(): path.read_bytes() for path in cache.rglob("*") if path.is_file()}
    return {name: content for name, content in files.items() if name != OPTIONS_FILE}


def cache_on(hub):
    """The files of the cache that the newest commit has."""
    return {key: data for key, data in hub.files(REPOSITORY).items() if key not in ("README.md", ".gitattributes")}


def test_a_pushed_cache_is_the_local_one_byte_for_byte_and_sound(hub, shared_cache):
    """Whoever opens it there gets the same examples, and `verify` finds nothing amiss."""
    said = push(shared_cache)
    assert "to upload to http://127.0.0.1" in said
    assert cache_on(hub) == files_of(shared_cache)
    assert miniend.open_cache(URL).digest == miniend.open_cache(shared_cache).digest
    assert inspect_cache(URL).as_json() == inspect_cache(shared_cache).as_json()
    report = verify_cache(URL)
    assert (report.sound, report.leftovers, report.shards) == (True, [], (4, 4))


def test_a_training_from_the_hub_ends_as_one_from_the_directory_and_fetches_its_own_columns(
    hub, shared_cache, tmp_path
):
    """That is what a cache on the hub is for."""
    push(shared_cache, verify=False)

    def trained(cache, name):
        settings = {"size": "1L32H", "objective": "logits", "steps": 2, "batch_size": 4, "device": "cpu"}
        train_student(TrainConfig(cache=cache, output=tmp_path / name, **settings), log=lambda _line: None)
        return (tmp_path / name / "model.safetensors").read_bytes()

    assert trained(URL, "there") == trained(shared_cache, "here")
    columns = {line.split("/")[8] for line in hub.asked(r"resolve/\w+/shards/")}
    assert {"inputs.ids", "logits.order"} & columns
    assert not [name for name in columns if name.startswith(("encoder", "decoder"))]


def test_the_plan_comes_last_and_a_push_that_broke_off_goes_on(hub, shared_cache, monkeypatch):
    """Until then nobody can open half a cache; what has arrived does not travel again."""
    monkeypatch.setattr(push_module, "FILES", 30)
    hub.faults += [("POST .*commit", 500, 99)]
    with pytest.raises(ObjectStoreError, match=r"the hub fails to answer for the dataset me/tiny \(500\)"):
        push(shared_cache, verify=False)
    arrived = set(hub.uploaded)
    hub.uploaded.clear()
    hub.faults[:] = [("POST .*commit", 503, 1)]
    push(shared_cache, verify=False)
    assert cache_on(hub) == files_of(shared_cache)
    commits = [set(files) for _, files in hub.repositories[REPOSITORY]]
    assert len(commits) > 3
    assert all("plan/plan.json" not in files for files in commits[:-1])
    for before, after in pairwise(commits[:-1]):
        folders = {"/".join(name.split("/")[:2]) for name in after - before}
        assert all(f"{folder}/marker.json" in after - before for folder in folders)
    assert arrived
    assert not arrived & set(hub.uploaded)


def test_a_second_push_sends_nothing_and_a_dropped_one_finds_what_arrived(hub, shared_cache):
    """The answer to a commit may be lost after the hub has made it."""
    push(shared_cache, verify=False)
    commits, uploads = len(hub.repositories[REPOSITORY]), len(hub.uploaded)
    assert "nothing to upload" in push(shared_cache, verify=False)
    assert (len(hub.repositories[REPOSITORY]), len(hub.uploaded)) == (commits, uploads)


def test_another_cache_is_not_mixed_into_one_that_is_there(hub, shared_cache):
    """A shard of each would be a cache of nobody."""
    hub.commit(REPOSITORY, {"plan/plan.json": b"another"})
    with pytest.raises(CacheMismatchError, match="holds another cache; upload this one under another name"):
        push(shared_cache, verify=False)
    assert cache_on(hub) == {"plan/plan.json": b"another"}


def test_a_damaged_or_unfinished_cache_is_not_shared_unless_told(hub, shared_cache, tmp_path):
    """Others cannot repair it: they do not have the teacher."""
    cache = tmp_path / "cache"
    shutil.copytree(shared_cache, cache)
    (cache / "shards" / "train-000001" / "note").write_text("mine")
    with pytest.raises(CacheDamagedError, match=r"is not sound: shards/train-000001/note .*--no-verify"):
        push(cache)
    shutil.rmtree(cache / "shards" / "train-000001")
    with pytest.raises(CacheUnfinishedError, match="3 of 4 shards are published"):
        push(cache)
    assert hub.repositories == {}
    push(cache, allow_unfinished=True)
    assert "unfinished" in hub.files(REPOSITORY)["README.md"].decode()
    assert len(miniend.open_cache(URL, allow_unfinished=True).shards) == 3


def test_a_cache_that_has_grown_is_completed(hub, shared_cache, tmp_path):
    """A dump grows; its readers get the new shards with the next commit."""
    cache = tmp_path / "cache"
    shutil.copytree(shared_cache, cache)
    shutil.rmtree(cache / "shards" / "train-000001")
    push(cache, verify=False, allow_unfinished=True)
    first = miniend.open_cache(URL, allow_unfinished=True)
    push(shared_cache, verify=False)
    assert first.shards[-1].folder.damage() == []
    assert miniend.open_cache(URL).digest == miniend.open_cache(shared_cache).digest


def test_the_license_on_the_hub_stays_and_the_rest_of_the_card_is_written_anew(hub, shared_cache):
    """The license belongs to the user, the numbers to the cache."""
    push(shared_cache, verify=False)
    files = hub.files(REPOSITORY)
    card = files["README.md"].decode()
    assert card.startswith("---\nlicense: unknown\n")
    assert f"`{miniend.open_cache(shared_cache).digest}`" in card
    assert f"train-student --cache {URL} " in card
    edited = card.replace("license: unknown", "license: cc-by-4.0").replace("24 for training", "99 for training")
    hub.commit(REPOSITORY, {**files, "README.md": edited.encode()})
    push(shared_cache, verify=False)
    assert hub.files(REPOSITORY)["README.md"].decode() == card.replace("license: unknown", "license: cc-by-4.0")


@pytest.mark.parametrize(("private", "expected"), [(False, set()), (True, {REPOSITORY})])
def test_a_data_set_is_public_unless_asked_as_with_transformers_trainer(hub, shared_cache, private, expected):
    """One habit for all that a user uploads."""
    push(shared_cache, verify=False, hub_private_repo=private)
    assert hub.private == expected


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, r"\(401\).*hf auth login"),
        (403, r"\(403\): check the rights"),
        (404, r"\(404\)"),
        (429, r"\(429\)"),
        (0, "connection"),
    ],
)
@pytest.mark.parametrize("where", ["repos/create", "preupload", "PUT /lfs", "commit"])
def test_every_refusal_is_one_line_without_the_token(hub, shared_cache, status, words, where, monkeypatch, capfd):
    """Nobody should find a token or a signed address in the log of a cluster."""
    from huggingface_hub.utils import _http

    monkeypatch.setattr(_http.time, "sleep", lambda _seconds: None)
    hub.faults += [(where, status, 999)]
    with pytest.raises((ObjectStoreError, ConfigurationError), match=words) as raised:
        push(shared_cache, verify=False)
    said = str(raised.value) + "".join(capfd.readouterr())
    assert TOKEN not in said
    assert "Signature" not in said
    assert "\n" not in str(raised.value)


def test_a_store_or_a_name_without_a_user_is_refused_before_any_request(hub, shared_cache):
    """The hub would make a repository of that name for whoever is signed in."""
    with pytest.raises(ConfigurationError, match="expected a directory; copy the cache to one"):
        push_cache(PushCacheConfig(name="me/tiny", cache="hf://datasets/me/x"), print)
    with pytest.raises(ConfigurationError, match="tiny: expected USER/NAME, the name of a dataset on the hub"):
        push_cache(PushCacheConfig(name="tiny", cache=shared_cache, verify=False), print)
    assert hub.requests == []
