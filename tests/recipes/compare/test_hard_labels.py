"""The cross-entropy of models that are not trained in a comparison."""

import json

import pytest
import torch

from miniend.cache import open_cache
from miniend.errors import CheckpointError
from miniend.pretrained import load_pretrained
from miniend.recipes.compare.hard_labels import hard_label_loss, measure_hard_labels, measured_hard_labels
from miniend.student_train.config import TrainConfig
from miniend.student_train.train import train_student
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cache(tmp_path_factory, settings):
    """A cache, and its teacher's folder."""
    found = settings()
    folder = tmp_path_factory.mktemp("cache") / "cache"
    dump_teacher(DumpConfig(teacher=found["teacher"], cache=folder, device="cpu", **found["dump"]), lambda _line: None)
    return open_cache(folder), found["teacher"]


def naive(model, cache):
    """In float64, an example at a time, from the logits and the labels alone."""
    model, losses = model.double().eval(), []
    start = cache.plan.document["teacher"]["start_id"]
    for number in range(len(cache.validation)):
        example = cache.validation[number]
        targets = torch.tensor(example.labels, dtype=torch.int64)
        shifted = torch.cat([torch.tensor([start]), targets[:-1]])
        with torch.no_grad():
            inputs = torch.tensor(example.input_ids, dtype=torch.int64)[None]
            logits = model(input_ids=inputs, decoder_input_ids=shifted[None]).logits[0]
        losses += (logits.logsumexp(-1) - logits.gather(1, targets[:, None])[:, 0]).tolist()
    return sum(losses) / len(losses)


def test_it_is_that_of_a_naive_sum_in_float64(cache):
    """Batches of three, padded, and a last one of fewer."""
    found, teacher = cache
    loss = hard_label_loss(load_pretrained(teacher, torch.float32)[0], found, CPU, 3)
    assert loss == pytest.approx(naive(load_pretrained(teacher, torch.float32)[0], found), rel=1e-5)


def test_it_is_what_a_training_says_of_its_student(cache, tmp_path):
    found, _ = cache
    config = TrainConfig(
        cache=found.path,
        output=tmp_path / "student",
        objective="scratch",
        size="1L32H",
        steps=2,
        batch_size=4,
        device="cpu",
    )
    said = train_student(config, lambda _line: None)["cross_entropy"]
    student = load_pretrained(tmp_path / "student", torch.float32)[0]
    assert hard_label_loss(student, found, CPU, 5) == pytest.approx(said, rel=1e-5)


def test_it_is_measured_once(cache, tmp_path):
    found, teacher = cache
    assert measured_hard_labels(tmp_path) is None
    measure_hard_labels(teacher, found, tmp_path, "cpu", 4)
    assert 0 < measured_hard_labels(tmp_path) < 20
    (tmp_path / "held-out.json").write_text(json.dumps({"cross_entropy": 1.5}))
    measure_hard_labels(teacher, found, tmp_path, "cpu", 4)
    assert measured_hard_labels(tmp_path) == 1.5


def test_a_model_that_cannot_be_loaded_is_refused(cache, tmp_path):
    with pytest.raises(CheckpointError):
        measure_hard_labels(str(tmp_path / "nothing"), cache[0], tmp_path, "cpu", 4)
