"""Loading a teacher: every form that transformers loads as T5, with the head that its authors meant; all else by name."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from miniend.errors import CheckpointError, ConfigurationError
from miniend.models.pretrained import tensor_digest
from miniend.teacher_dump.teacher import display_name, load_teacher
from support.tiny_t5 import build_tiny_t5, tiny_texts
from support.tiny_tokenizer import build_tiny_tokenizer

CPU = torch.device("cpu")
CLASSES = {"t5": "T5", "mt5": "MT5", "umt5": "UMT5"}


@pytest.fixture(scope="module")
def tokenizer():
    return build_tiny_tokenizer(tiny_texts(20), 200, sentinels=8)


@pytest.fixture
def t5(tokenizer, tmp_path):
    return build_tiny_t5(tmp_path / "t5", tokenizer, layers=(1, 1))


def load(folder, dtype="float32"):
    return load_teacher(str(folder), dtype, CPU)


def logits(teacher):
    ids = torch.randint(3, 190, (2, 11), generator=torch.Generator().manual_seed(1))
    return logits_of(teacher, ids, torch.ones_like(ids, dtype=torch.bool), ids[:, :7])


def change_config(folder, **changes):
    """Rewrite config.json; None removes a member."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def decoder_states(model):
    """The decoder's output before the head, for the inputs of `logits`."""
    ids = torch.randint(3, 190, (2, 11), generator=torch.Generator().manual_seed(1))
    shifted = torch.cat([torch.zeros(2, 1, dtype=torch.long), ids[:, :6]], dim=1)
    with torch.no_grad():
        encoded = model.encoder(input_ids=ids).last_hidden_state
        return model.decoder(input_ids=shifted, encoder_hidden_states=encoded, use_cache=False).last_hidden_state


@pytest.mark.parametrize(
    ("kind", "tied", "scaled"),
    [("t5", True, True), ("t5", False, False), ("mt5", False, False), ("umt5", True, True), ("umt5", False, False)],
)
def test_the_head_is_scaled_as_the_checkpoint_means_it(tokenizer, tmp_path, kind, tied, scaled):
    """transformers 5 flattens an untied umT5's logits by sqrt(d_model), and parity with its own forward hides it."""
    folder = build_tiny_t5(tmp_path / kind, tokenizer, kind, tied, v11=not tied, layers=(1, 1))
    teacher = load(folder)
    states = decoder_states(teacher.model)
    expected = (states * 32**-0.5 if scaled else states) @ teacher.model.lm_head.weight.T
    assert torch.allclose(logits(teacher), expected, rtol=1e-5, atol=1e-5)
    assert (teacher.facts.tied, teacher.facts.head_scale) == (tied, pytest.approx(32**-0.5 if scaled else 1.0))


def test_facts_are_read_off_the_checkpoint(tokenizer, tmp_path):
    """A width taken for d_model would regroup relation heads wrongly wherever inner differs from it."""
    teacher = load(build_tiny_t5(tmp_path / "odd", tokenizer, v11=True, layers=(1, 3), d_kv=12, spare_rows=6))
    facts = teacher.facts
    assert (facts.inner, facts.d_model, facts.heads, facts.d_kv) == (48, 32, 4, 12)
    assert (facts.encoder_layers, facts.decoder_layers, facts.vocab_rows) == (1, 3, 206)
    assert (teacher.start_id, teacher.pad_id) == (0, 0)
    assert not teacher.model.training
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())


def test_a_missing_model_type_is_read_from_the_architecture(t5):
    """Old checkpoints have no model_type."""
    expected = load(t5)
    change_config(t5, model_type=None)
    assert torch.equal(logits(load(t5)), logits(expected))


@pytest.mark.parametrize(
    ("kind", "architecture"), [("bert", "BertForMaskedLM"), (None, "BertModel"), (None, None), ("longt5", "T5Model")]
)
def test_a_model_of_another_family_is_refused_by_its_name(t5, kind, architecture):
    """transformers would load it with random weights for whatever does not fit."""
    change_config(t5, model_type=kind, architectures=[architecture] if architecture else None)
    with pytest.raises(CheckpointError, match=f"not a T5-family.*{kind!r}.*supported are t5, mt5, umt5"):
        load(t5)


@pytest.mark.parametrize(
    "lost", ["decoder.block.0.layer.1.EncDecAttention.k.weight", "encoder.final_layer_norm.weight"]
)
def test_a_checkpoint_without_some_weights_is_refused(t5, lost):
    """transformers fills missing weights with random ones and only warns."""
    weights = load_file(t5 / "model.safetensors")
    del weights[lost]
    save_file(weights, t5 / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=f"lacks 1 of its weights.*{lost}"):
        load(t5)


def test_weights_of_another_shape_are_refused(t5):
    """A config.json that does not belong to its weights must not end in a traceback, or in random weights."""
    change_config(t5, d_ff=48)
    with pytest.raises(CheckpointError, match=r"wi.weight is \[64, 32\] in the file and \[48, 32\] by config.json"):
        load(t5)


@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_a_folder_without_a_readable_config_is_refused(t5, content):
    """The most frequent mistake is a wrong path."""
    (t5 / "config.json").unlink()
    if content is not None:
        (t5 / "config.json").write_text(content)
    with pytest.raises(CheckpointError):
        load(t5)


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    """A misspelt path is looked up on the hub as a name, whose errors are long and about something else."""
    with pytest.raises(CheckpointError, match="nowhere"):
        load(tmp_path / "nowhere")


def test_a_folder_without_weights_is_refused(t5):
    """A config alone must not become a random teacher."""
    (t5 / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="does not have weights"):
        load(t5)


@pytest.mark.parametrize("kept", [0, 5, 0.5])
@pytest.mark.parametrize("form", ["model.safetensors", "pytorch_model.bin"])
def test_damaged_weights_are_refused(t5, form, kept):
    """A download that broke off must be told as that, not by a traceback."""
    if form == "pytorch_model.bin":
        torch.save(load(t5).model.state_dict(), t5 / form)
        (t5 / "model.safetensors").unlink()
    data = (t5 / form).read_bytes()
    (t5 / form).write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load(t5)


def test_a_bin_file_cannot_run_code(t5, tmp_path):
    """A pickle runs whatever it likes when it is read; a checkpoint from somewhere must not."""

    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "touched",)

    (t5 / "model.safetensors").unlink()
    torch.save({"shared.weight": Evil()}, t5 / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="could run code"):
        load(t5)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("form", ["sharded safetensors", "pytorch_model.bin"])
def test_every_file_form_gives_the_same_teacher(t5, form, tmp_path):
    """Shards that are left out, or a .bin that is read differently, would be another teacher under the same name."""
    expected = load(t5)
    other = shutil.copytree(t5, tmp_path / "other")
    (other / "model.safetensors").unlink()
    if form == "pytorch_model.bin":
        torch.save(expected.model.state_dict(), other / "pytorch_model.bin")
    else:
        expected.model.save_pretrained(other, max_shard_size="20KB")
        assert len(list(other.glob("model-*.safetensors"))) > 1
    found = load(other)
    assert torch.equal(logits(found), logits(expected))
    assert found.digest == expected.digest


def test_a_bfloat16_checkpoint_loads_and_dtype_decides_the_forward(t5, tmp_path):
    """A dtype that the file decided would let two machines write two caches under one plan."""
    model = transformers.T5ForConditionalGeneration.from_pretrained(t5, dtype=torch.bfloat16)
    half = shutil.copytree(t5, tmp_path / "half")
    model.save_pretrained(half)
    assert load_file(half / "model.safetensors")["shared.weight"].dtype == torch.bfloat16
    assert logits(load(half)).dtype == torch.float32
    low = logits(load(half, "bfloat16"))
    assert low.dtype == torch.bfloat16
    assert torch.allclose(low.float(), logits(load(half)), atol=0.3)
    assert load(half).digest != load(half, "bfloat16").digest
    assert torch.equal(logits(load(half)), logits(load(half)))


def test_an_unknown_dtype_is_refused(t5):
    """The library must say it too, not the command line alone."""
    with pytest.raises(ConfigurationError, match="unknown dtype 'float8'"):
        load(t5, "float8")


def test_the_digest_sees_every_weight_name_shape_and_dtype():
    """A digest that misses one would let a cache go on with another teacher."""
    base = {"a": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "b": torch.tensor([5.0])}
    others = [
        base | {"a": torch.tensor([[1.0, 2.0], [3.0, 4.0 + 4e-7]])},
        base | {"b": torch.tensor([-5.0])},
        base | {"a": base["a"].reshape(4)},
        base | {"a": base["a"].reshape(1, 4)},
        base | {"a": base["a"].to(torch.float64)},
        base | {"a": base["a"].T},
        {"a": base["a"], "c": base["b"]},
        {"a": base["a"]},
        {"a": base["a"], "b": torch.tensor([5.0]).view(torch.int32)},
    ]
    assert tensor_digest(dict(reversed(base.items()))) == tensor_digest(base)
    assert len({tensor_digest(tensors) for tensors in [base, *others]}) == 1 + len(others)


def test_the_digest_of_a_teacher_changes_with_one_weight_and_not_with_its_path(t5, tmp_path):
    """A name or a path says nothing about which checkpoint answered."""
    other = shutil.copytree(t5, tmp_path / "moved")
    assert load(other).digest == load(t5).digest
    weights = load_file(other / "model.safetensors")
    weights["decoder.final_layer_norm.weight"][-1] += 1e-6
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    assert load(other).digest != load(t5).digest


def test_a_local_teacher_is_shown_without_its_folders(t5, tmp_path):
    """A cache is shared; the path of somebody's home is nobody's business."""
    assert display_name(str(t5)) == "t5"
    assert display_name("google-t5/t5-base") == "google-t5/t5-base"


def test_padding_does_not_reach_the_logits(t5):
    """An attention mask that is left out mixes padding into every encoder state."""
    teacher = load(t5)
    ids = torch.randint(3, 190, (1, 9), generator=torch.Generator().manual_seed(2))
    labels = ids[:, :5]
    alone = logits_of(teacher, ids, torch.ones_like(ids, dtype=torch.bool), labels)
    padded = torch.cat([ids, torch.zeros(1, 6, dtype=torch.long)], dim=1)
    long_labels = torch.cat([labels, torch.full((1, 3), -100)], dim=1)
    together = logits_of(teacher, padded, torch.arange(15)[None] < 9, long_labels)
    assert torch.allclose(together[:, :5], alone, atol=1e-5)


def logits_of(teacher, ids, valid, labels):
    with torch.no_grad():
        return teacher.forward({"input": ids, "target": labels}, {"input": valid, "target": labels != -100})
