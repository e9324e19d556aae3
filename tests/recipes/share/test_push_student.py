"""Students on the hub: the model's files only, after a training and again."""

import json

import pytest

from miniend.errors import ConfigurationError, ObjectStoreError
from miniend.recipes.share.push_student import train_and_push
from miniend.student_train.config import TrainConfig, each_student
from miniend.student_train.train import train_students

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own upload
MODEL = {
    "README.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


def train(cache, output, objectives=("logits",), private=False):
    config = TrainConfig(cache=cache, output=output, size="1L32H", steps=2, batch_size=4, device="cpu", eval_every=1)
    students, said = each_student(config, [config.size], objectives), []
    train_and_push(students, "me/student", private, lambda: train_students(students, said.append), said.append)
    return " ".join(said)


def test_a_finished_student_is_uploaded_without_its_run_and_opens_from_its_files(hub, shared_cache, tmp_path):
    """Checkpoints and logs are ten times the model, and say where it was trained."""
    assert f"uploaded: {hub.url}/me/student" in train(shared_cache, tmp_path / "s")
    files = hub.files("models/me/student")
    assert set(files) - {".gitattributes"} == MODEL
    assert files["model.safetensors"] == (tmp_path / "s" / "model.safetensors").read_bytes()
    assert json.loads(files["config.json"])["model_type"] == "t5"


def test_a_finished_run_given_again_is_only_uploaded_and_the_license_there_stays(hub, shared_cache, tmp_path):
    """Whoever forgot the option, or had no network, does not train twice."""
    train_students(
        [
            TrainConfig(
                cache=shared_cache,
                output=tmp_path / "s",
                size="1L32H",
                objective="logits",
                steps=2,
                batch_size=4,
                device="cpu",
                eval_every=1,
            )
        ],
        lambda _line: None,
    )
    before = (tmp_path / "s" / "model.safetensors").stat().st_mtime_ns
    said = train(shared_cache, tmp_path / "s")
    assert "is finished: 2 steps" in said
    assert "uploaded: " in said
    assert (tmp_path / "s" / "model.safetensors").stat().st_mtime_ns == before
    files = hub.files("models/me/student")
    card = files["README.md"].replace(b"license: unknown", b"license: mit")
    hub.commit("models/me/student", {**files, "README.md": card + b"mine"})
    train(shared_cache, tmp_path / "s")
    assert hub.files("models/me/student")["README.md"] == card


def test_several_students_get_a_repository_each_private_if_asked(hub, shared_cache, tmp_path):
    """One name cannot have two models."""
    train(shared_cache, tmp_path, ("logits", "scratch"), private=True)
    names = {"models/me/student-1L32H-logits", "models/me/student-1L32H-scratch"}
    assert set(hub.repositories) == hub.private == names


def test_a_name_or_token_that_cannot_work_costs_no_training(hub, shared_cache, tmp_path):
    """A training takes days, and its end is at night."""
    hub.faults.append(("repos/create", 401, 99))
    with pytest.raises(ObjectStoreError, match=r"the model me/student \(401\)"):
        train(shared_cache, tmp_path / "s")
    assert not (tmp_path / "s").exists()
    with pytest.raises(ConfigurationError, match="a b: expected USER/NAME"):
        train_and_push([TrainConfig(cache=shared_cache, output=tmp_path)], "a b", False, lambda: None, print)


def test_an_upload_that_fails_says_that_the_student_is_there(hub, shared_cache, tmp_path):
    """Nobody should think that the training is lost."""
    hub.faults.append(("commit", 403, 99))
    with pytest.raises(
        ObjectStoreError, match=r"s is trained, but not uploaded: .*\(403\).*; the same command uploads it"
    ):
        train(shared_cache, tmp_path / "s")
    assert (tmp_path / "s" / "model.safetensors").exists()


def test_only_the_first_process_of_a_launcher_uploads(hub, shared_cache, tmp_path, monkeypatch):
    """Eight processes would make eight commits."""
    monkeypatch.setenv("RANK", "1")
    done = []
    config = TrainConfig(cache=shared_cache, output=tmp_path / "s")
    train_and_push([config], "me/student", False, lambda: done.append(1), print)
    assert (done, hub.requests) == ([1], [])
