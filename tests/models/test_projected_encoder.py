"""An encoder with a map of its states: of every family, of any dtype, and of files that strangers or accidents made."""

import json

import pytest
import torch
import transformers
from safetensors.torch import save_file

from miniend.errors import CheckpointError
from miniend.models.projected_encoder import PROJECTIONS, ProjectedT5Encoder, ProjectedT5EncoderConfig

WIDTH, WIDER = 32, 48
SHAPE = {"d_model": WIDTH, "d_kv": 8, "num_heads": 2, "d_ff": 64, "num_layers": 2, "vocab_size": 100}
FAMILIES = ["T5", "MT5", "UMT5"]


def student(folder, family="T5", weight=(WIDER, WIDTH), bias=(WIDER,), name="final"):
    """A random student as `train-student --objective encoder` leaves it."""
    torch.manual_seed(3)
    encoder = getattr(transformers, f"{family}EncoderModel")(getattr(transformers, f"{family}Config")(**SHAPE))
    encoder.save_pretrained(folder)
    maps = {
        f"{name}.maps.final.weight": torch.randn(weight),
        f"{name}.maps.final.bias": torch.randn(bias),
        "encoder_hidden.maps.2-4.weight": torch.randn(3, 3),
    }
    save_file(maps, folder / PROJECTIONS)
    return encoder.eval(), maps


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["final", "mine"])
def test_states_are_those_of_the_encoder_mapped(tmp_path, family, name):
    """Whatever the objective calls the term; and saved again, they are the same to the bit, padding or not."""
    encoder, maps = student(tmp_path / "s", family, name=name)
    model = ProjectedT5Encoder.from_student(tmp_path / "s")
    ids = torch.randint(1, 100, (3, 7))
    mask = torch.ones_like(ids)
    mask[0, 4:] = 0
    with torch.no_grad():
        states = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        ours = model(input_ids=ids, attention_mask=mask).last_hidden_state
        again = ProjectedT5Encoder.from_student(str(tmp_path / "s"))(ids, mask, return_dict=False)[0]
    expected = states @ maps[f"{name}.maps.final.weight"].T + maps[f"{name}.maps.final.bias"]
    assert torch.allclose(ours, expected, atol=1e-5)
    assert torch.equal(ours, again)
    model.save_pretrained(tmp_path / "whole")
    whole = transformers.AutoModel.from_pretrained(tmp_path / "whole").eval()
    assert type(whole.student).__name__ == f"{family}EncoderModel"
    with torch.no_grad():
        assert torch.equal(whole(input_ids=ids, attention_mask=mask).last_hidden_state, ours)


@pytest.mark.parametrize(
    "shapes",
    [
        {"weight": (WIDER, WIDTH + 1)},
        {"weight": (WIDER,)},
        {"bias": (WIDER + 1,)},
        {"bias": (1, WIDER)},
        {"weight": (2, WIDER // 2, WIDTH)},
    ],
)
def test_a_map_of_another_student_is_refused(tmp_path, shapes):
    """A file that was copied beside the wrong model would give an error of matrices at the first batch."""
    student(tmp_path, **shapes)
    with pytest.raises(CheckpointError, match=r"should map the 32 numbers of a state, found weights \["):
        ProjectedT5Encoder.from_student(tmp_path)


def test_a_file_that_is_not_of_tensors_and_a_folder_that_is_not_there_are_refused(tmp_path, monkeypatch):
    """In one line that names them."""
    student(tmp_path)
    (tmp_path / PROJECTIONS).write_bytes(b"not tensors")
    with pytest.raises(CheckpointError, match=f"{PROJECTIONS} cannot be read"):
        ProjectedT5Encoder.from_student(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="neither a folder here"):
        ProjectedT5Encoder.from_student("nobody/has-this-student")
    with pytest.raises(CheckpointError, match="neither a folder here"):
        ProjectedT5Encoder.from_student(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["T5ForConditionalGeneration", "pipeline", "nothing", 3, None])
def test_only_encoders_are_made_of_a_strangers_config(tmp_path, name):
    """Its class is looked up in transformers by a name from the file."""
    student(tmp_path / "s")
    ProjectedT5Encoder.from_student(tmp_path / "s").save_pretrained(tmp_path / "whole")
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    (tmp_path / "whole" / "config.json").write_text(json.dumps(config | {"encoder_class": name}))
    with pytest.raises(CheckpointError, match="expected one of T5EncoderModel, MT5EncoderModel, UMT5EncoderModel"):
        ProjectedT5Encoder.from_pretrained(tmp_path / "whole")
    with pytest.raises(CheckpointError, match="encoder_class"):
        ProjectedT5Encoder(ProjectedT5EncoderConfig(encoder_class=name, **SHAPE))
