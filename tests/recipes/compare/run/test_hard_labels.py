"""The cross-entropy of models that are not trained in a comparison."""

import pytest
import torch

from miniend.cache import open_cache
from miniend.errors import CheckpointError
from miniend.evaluation.checkpoint import load_checkpoint
from miniend.evaluation.records import read_record, write_record
from miniend.models.pretrained import load_pretrained
from miniend.recipes.compare.run.hard_labels import hard_label_loss, measure_hard_labels, measured_hard_labels
from miniend.student_train.config import TrainConfig
from miniend.student_train.train import train_student
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from support.tiny_t5 import build_tiny_t5, tiny_texts
from support.tiny_tokenizer import build_tiny_tokenizer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cache(tmp_path_factory, settings):
    """A cache, and its teacher's folder."""
    found = settings()
    folder = tmp_path_factory.mktemp("cache") / "cache"
    dump_teacher(DumpConfig(teacher=found["teacher"], cache=folder, device="cpu", **found["dump"]), lambda _line: None)
    return open_cache(folder), found["teacher"]


def naive(model, cache, scaled):
    """In float64, an example at a time, from the decoder's output, the head's matrix and the labels alone."""
    model, losses = model.double().eval(), []
    start = cache.plan.teacher.start_id
    scale = model.config.d_model**-0.5 if scaled else 1.0
    for number in range(len(cache.validation)):
        example = cache.validation[number]
        labels = torch.tensor(example.labels, dtype=torch.int64)
        shifted = torch.cat([torch.tensor([start]), labels[:-1]])[None]
        with torch.no_grad():
            inputs = torch.tensor(example.input_ids, dtype=torch.int64)[None]
            states = model.decoder(input_ids=shifted, encoder_hidden_states=model.encoder(inputs)[0])[0][0]
            logits = scale * states @ model.lm_head.weight.T
        losses += (logits.logsumexp(-1) - logits.gather(1, labels[:, None])[:, 0]).tolist()
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("kind", "tied"), [("t5", True), ("umt5", False)])
def test_it_is_that_of_a_naive_sum_in_float64(cache, tmp_path, kind, tied):
    """Batches of three, padded, and a last one of fewer. transformers would scale the output of an umT5 that is not tied."""
    tokenizer = build_tiny_tokenizer(tiny_texts(150), 120, sentinels=10)
    folder = build_tiny_t5(tmp_path / "model", tokenizer, model_type=kind, tied=tied, sharpen=0.8)
    measure_hard_labels(str(folder), cache[0], tmp_path, "cpu", 3)
    model = load_pretrained(folder, torch.float32)[0]
    assert measured_hard_labels(tmp_path) == pytest.approx(naive(model, cache[0], scaled=tied), rel=1e-5)


def test_it_is_what_a_training_says_of_its_student(cache, tmp_path):
    found, _ = cache
    settings = {"objective": "scratch", "size": "1L32H", "steps": 2, "batch_size": 4, "device": "cpu"}
    said = train_student(TrainConfig(cache=found.path, output=tmp_path / "student", **settings), lambda _line: None)
    loss = hard_label_loss(load_checkpoint(str(tmp_path / "student")).model, found, CPU, 5)
    assert loss == pytest.approx(said["cross_entropy"], rel=1e-5)


def test_it_is_measured_once_and_again_on_other_examples(cache, tmp_path):
    found, teacher = cache
    assert measured_hard_labels(tmp_path) is None
    measure_hard_labels(teacher, found, tmp_path, "cpu", 4)
    loss, record = measured_hard_labels(tmp_path), read_record(tmp_path / "validation.json")
    write_record(tmp_path / "validation.json", record | {"cross_entropy": 1.5})
    measure_hard_labels(teacher, found, tmp_path, "cpu", 4)
    assert measured_hard_labels(tmp_path) == 1.5
    write_record(tmp_path / "validation.json", {"cross_entropy": 1.5, "cache": "that of another corpus"})
    measure_hard_labels(teacher, found, tmp_path, "cpu", 4)
    assert measured_hard_labels(tmp_path) == loss


def test_a_model_that_cannot_be_loaded_is_refused(cache, tmp_path):
    with pytest.raises(CheckpointError):
        measure_hard_labels(str(tmp_path / "nothing"), cache[0], tmp_path, "cpu", 4)
