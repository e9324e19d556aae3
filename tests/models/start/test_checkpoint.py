"""Students that go on from a checkpoint: the same function as before, of the same vocabulary, or a refusal."""

import json
import warnings

import pytest
import torch
import transformers

from miniend.errors import CheckpointError, ConfigurationError
from miniend.models.families import family_of
from miniend.models.save import save_student
from miniend.models.size import student_config
from miniend.models.start.checkpoint import load_student
from miniend.models.start.teacher_layers import init_from_teacher
from support.students import FAMILY_NAMES, fresh, logits, perturb, teacher_of

BOTH = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
ALL = pytest.mark.parametrize("kind", FAMILY_NAMES)


@ALL
@BOTH
def test_training_goes_on_from_a_saved_student(tmp_path, kind, tied):
    """--init of our own output must not rescale anything."""
    model = perturb(fresh(kind, tied))
    save_student(model, tmp_path, {}, "")
    again = load_student(tmp_path, teacher_of(kind))
    assert family_of(again).tied(again) == tied
    assert torch.equal(logits(model), logits(again))
    assert all(module.p == 0 for module in again.modules() if isinstance(module, torch.nn.Dropout))


@pytest.mark.parametrize("source", ["load", "layers"])
def test_released_umt5_weights_keep_the_logits_that_their_authors_meant(tmp_path, source):
    """Plain transformers flattens the logits of untied umT5 about 22-fold; the student would start from that."""
    model = perturb(fresh("umt5", False, "2L64H"))
    model.save_pretrained(tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text()) | {"tie_word_embeddings": False}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    family_of(model).restore_head_scale(model, raw)
    if source == "load":
        student = load_student(tmp_path, teacher_of("umt5"))
    else:
        student = init_from_teacher(student_config("2L64H", teacher_of("umt5")), tmp_path)
    assert family_of(student).head_scale(student) != family_of(model).head_scale(model)
    torch.testing.assert_close(logits(student), logits(model), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"vocab_size": 300}, "vocab_size 200"),
        ({"model_type": "mt5"}, "model_type"),
        ({"eos_token_id": 3}, "eos_token_id"),
    ],
)
def test_a_start_of_another_vocabulary_is_refused(tmp_path, changed, named):
    """Same shapes, other tokens: the loss would fall, and the student would be useless."""
    save_student(fresh("t5", True), tmp_path, {}, "")
    with pytest.raises(ConfigurationError, match=named):
        load_student(tmp_path, teacher_of("t5") | changed)


def test_a_start_that_is_missing_or_incomplete_is_refused(tmp_path):
    """transformers fills missing weights with random ones and only logs it."""
    with pytest.raises(CheckpointError, match="nowhere"):
        load_student(tmp_path / "nowhere", teacher_of("t5"))
    model = fresh("t5", True)
    held = {name: one for name, one in model.state_dict().items() if name != "encoder.final_layer_norm.weight"}
    model.save_pretrained(tmp_path / "part", state_dict=held)
    with pytest.raises(CheckpointError, match="lacks"):
        load_student(tmp_path / "part", teacher_of("t5"))
    transformers.T5EncoderModel(model.config).save_pretrained(tmp_path / "encoder")
    with pytest.raises(ConfigurationError, match="has model_type 't5-encoder', the cache's teacher has 't5'"):
        load_student(tmp_path / "encoder", teacher_of("t5"))


def test_loading_an_untied_student_is_silent(tmp_path, capfd):
    """A line about tied weights on every run teaches people to ignore lines."""
    save_student(fresh("t5", False), tmp_path, {}, "")
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_student(tmp_path, teacher_of("t5"))
    assert capfd.readouterr() == ("", "")
