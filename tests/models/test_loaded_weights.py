"""What a checkpoint holds against what its model uses: the model that was saved, or one line with the tensors' names."""

import json
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import (
    T5Config,
    T5ForConditionalGeneration,
    T5ForQuestionAnswering,
    T5ForSequenceClassification,
    T5Model,
)

from miniend.errors import CheckpointError
from miniend.models.families import family_of
from miniend.models.pretrained import load_pretrained, tensor_digest
from support.tiny_t5 import build_tiny_t5, tiny_texts
from support.tiny_tokenizer import build_tiny_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return build_tiny_tokenizer(tiny_texts(5), 80, sentinels=8)


@pytest.fixture
def folder(tmp_path, tokenizer):
    return build_tiny_t5(tmp_path / "t5", tokenizer, layers=(2, 2))


def edit_config(folder, **members):
    path = folder / "config.json"
    kept = json.loads(path.read_text()) | members
    path.write_text(json.dumps({key: value for key, value in kept.items() if value != "absent"}))


def edit_weights(folder, change):
    path = folder / "model.safetensors"
    save_file({name: t.contiguous() for name, t in change(load_file(path)).items()}, path, {"format": "pt"})


def refusal(folder):
    with pytest.raises(CheckpointError) as refused:
        load_pretrained(folder, torch.float32)
    assert "\n" not in str(refused.value)
    return str(refused.value)


FAULTS = ("drop", "add", "rename", "reshape", "prefix", "harmless")


@settings(max_examples=30)
@given(data=st.data(), fault=st.sampled_from(FAULTS))
def test_any_difference_of_names_and_shapes_is_either_harmless_or_one_line(tmp_path_factory, tokenizer, data, fault):
    """transformers loads each of these: random weights, dropped weights, or an answer in a report that nobody sees."""
    folder = build_tiny_t5(tmp_path_factory.mktemp("t5"), tokenizer, layers=(1, 2))
    before = load_pretrained(folder, torch.float32)[0].state_dict()
    tensors = load_file(folder / "model.safetensors")
    name = data.draw(st.sampled_from(sorted(tensors)))
    other = data.draw(
        st.sampled_from(["qa_outputs.weight", "lm_head.bias", "x", name + "x", "decoder.block.2." + name])
    )
    prefix = data.draw(st.sampled_from(["module.", "model.", "_orig_mod.", "base_model.model."]))
    changed = {
        "drop": {key: tensor for key, tensor in tensors.items() if key != name},
        "add": tensors | {other: torch.ones(3)},
        "rename": {other if key == name else key: tensor for key, tensor in tensors.items()},
        "reshape": tensors | {name: torch.ones([size + 1 for size in tensors[name].shape])},
        "prefix": {prefix + key: tensor for key, tensor in tensors.items()},
        "harmless": tensors
        | {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": torch.ones(32, 4)},
    }[fault]
    save_file({key: t.contiguous() for key, t in changed.items()}, folder / "model.safetensors", {"format": "pt"})
    if fault == "harmless":
        assert tensor_digest(load_pretrained(folder, torch.float32)[0].state_dict()) == tensor_digest(before)
        return
    message = refusal(folder)
    assert {"add": other, "prefix": repr(prefix)}.get(fault, name) in message


def test_a_config_of_fewer_layers_than_the_file_has_is_refused(folder):
    """The teacher would be its own lower half, and would answer."""
    edit_config(folder, num_layers=1)
    assert "holds 8 tensors that a T5ForConditionalGeneration with its config.json does not use" in refusal(folder)
    edit_config(folder, num_layers=3)
    assert "lacks 8 of its weights (encoder.block.2.layer.0." in refusal(folder)


@pytest.mark.parametrize(
    ("kind", "named"), [(T5ForQuestionAnswering, "qa_outputs"), (T5ForSequenceClassification, "classification_head")]
)
def test_a_model_with_another_head_is_refused(tmp_path, kind, named):
    """Its decoder was not trained to predict words."""
    kind(T5Config(vocab_size=90, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)).save_pretrained(tmp_path)
    assert named in refusal(tmp_path)


def test_a_model_without_a_head_is_a_tied_one(tmp_path):
    """T5Model's checkpoint holds all weights of a tied T5."""
    torch.manual_seed(0)
    bare = T5Model(T5Config(vocab_size=90, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4))
    bare.save_pretrained(tmp_path)
    model, _ = load_pretrained(tmp_path, torch.float32)
    assert family_of(model).tied(model)
    assert torch.equal(model.shared.weight, bare.shared.weight)


def test_a_stale_vocabulary_size_is_named_with_both_shapes(folder):
    """Resized embeddings with the old config.json; the report that transformers mentions was never shown."""
    edit_config(folder, vocab_size=500)
    message = refusal(folder)
    assert "is [84, 32] in the file and [500, 32] by config.json" in message
    assert "vocab_size" in message


@pytest.mark.parametrize("format", ["safetensors", "bin", "sharded", "sharded bin"])
def test_an_untied_config_needs_a_head_in_the_file(folder, format):
    """transformers ties it without a word; the loss is then ten times that of chance."""
    model = T5ForConditionalGeneration.from_pretrained(folder)
    edit_config(folder, tie_word_embeddings=False)
    names = {name: tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    _write(folder, names, format)
    assert "do not have lm_head.weight" in refusal(folder)
    _write(folder, names | {"lm_head.weight": names["shared.weight"].clone()}, format)
    load_pretrained(folder, torch.float32)


def _write(folder, tensors, format):
    for path in [*folder.glob("*.safetensors*"), *folder.glob("*.bin*")]:
        path.unlink()
    tensors = {name: t.contiguous() for name, t in tensors.items() if "embed_tokens" not in name}
    if format == "safetensors":
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    elif format == "bin":
        torch.save(tensors, folder / "pytorch_model.bin")
    else:
        ending, stem = ("bin", "pytorch_model") if "bin" in format else ("safetensors", "model")
        shards = {f"{stem}-0000{k + 1}-of-00002.{ending}": dict(list(tensors.items())[k::2]) for k in range(2)}
        for name, part in shards.items():
            torch.save(part, folder / name) if "bin" in format else save_file(part, folder / name, {"format": "pt"})
        index = {"weight_map": {key: name for name, part in shards.items() for key in part}, "metadata": {}}
        (folder / f"{stem}.{ending}.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("config", "generation", "expected"),
    [(5, 6, 5), ("absent", 6, 6), (None, 6, 6), ("absent", None, 0), (0, 6, 0)],
)
def test_the_start_id_is_found_where_it_is_stated_and_is_padding_otherwise(folder, config, generation, expected):
    """A config.json that version 5 makes does not state it; its absence was a traceback."""
    edit_config(folder, decoder_start_token_id=config)
    (folder / "generation_config.json").unlink()
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps({"decoder_start_token_id": generation}))
    model, raw = load_pretrained(folder, torch.float32)
    assert model.config.decoder_start_token_id == raw["decoder_start_token_id"] == expected


def test_an_mt5_that_transformers_4_tied_gets_its_scale_back(tmp_path, tokenizer):
    """Version 5 does not scale; its logits are sqrt(d_model) too large, 48 nats instead of 5.5."""
    folder = build_tiny_t5(tmp_path, tokenizer, model_type="mt5", tied=True)
    ids = torch.arange(3, 12)[None]

    def logits():
        model, raw = load_pretrained(folder, torch.float32)
        family_of(model).restore_head_scale(model, raw)
        with torch.no_grad():
            return model.eval()(input_ids=ids, decoder_input_ids=ids).logits

    plain = logits()
    edit_config(folder, transformers_version="4.57.1")
    torch.testing.assert_close(logits(), plain * 32**-0.5)


def test_quantized_weights_are_one_line(folder):
    """bitsandbytes asks for a GPU and for its own package in a traceback."""
    edit_config(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    assert "dequantize()" in refusal(folder)


@pytest.mark.parametrize("alone", [True, False])
def test_an_adapter_is_to_be_merged_first(folder, tmp_path, alone):
    """Without its model it was "no config.json"; beside it, it was ignored without a word."""
    if alone:
        shutil.rmtree(folder)
        folder.mkdir()
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": "t5-small"})
    )
    assert "merge_and_unload()" in refusal(folder)


@pytest.mark.parametrize("file", ["flax_model.msgpack", "tf_model.h5"])
def test_weights_of_another_framework_are_named(folder, file):
    """Many T5s on the hub were pre-trained with transformers' flax recipe."""
    (folder / "model.safetensors").rename(folder / file)
    assert file in refusal(folder)
    assert "transformers 4" in refusal(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["shared.weight", "decoder.block.1.layer.2.DenseReluDense.wo.weight"])
def test_weights_that_are_not_numbers_are_named(folder, name, value):
    """A training in float16 overflowed. The dump advised --dtype float32, which it had, or went on where no text met them."""
    edit_weights(folder, lambda held: held | {name: held[name].index_fill(0, torch.tensor([3]), value)})
    message = refusal(folder)
    assert "holds weights that are infinite or not numbers" in message
    assert name in message


def test_large_weights_are_numbers(folder):
    """Their sum overflows, and no element does."""
    edit_weights(folder, lambda held: held | {"shared.weight": torch.full_like(held["shared.weight"], 3e38)})
    load_pretrained(folder, torch.float32)


EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


@pytest.mark.parametrize("held", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("tied", [True, False])
def test_the_embedding_may_have_any_of_its_names(tmp_path, tokenizer, held, tied):
    """MADLAD-400 has the decoder's name only; releases of transformers took the head for the encoder's embedding."""
    folder = build_tiny_t5(tmp_path, tokenizer, tied=tied, v11=not tied, layers=(1, 1))
    before = load_pretrained(folder, torch.float32)[0].state_dict()
    copies = {EMBEDDINGS[number]: before["shared.weight"].clone() for number in held}
    edit_weights(folder, lambda all: {k: t for k, t in all.items() if k != "shared.weight"} | copies)
    after = load_pretrained(folder, torch.float32)[0].state_dict()
    assert tensor_digest(after) == tensor_digest(before)


@pytest.mark.parametrize("other", EMBEDDINGS[1:])
def test_two_input_embeddings_are_refused(folder, other):
    """transformers runs the stacks with both; a student has one, and saving lost the other."""
    edit_weights(folder, lambda held: held | {other: held["shared.weight"] + 1})
    assert f"two input embeddings: {other} differs from shared.weight" in refusal(folder)


def test_an_untied_config_needs_an_embedding_in_the_file(folder):
    """transformers makes the head the embedding of both stacks without a word."""
    edit_config(folder, tie_word_embeddings=False)
    edit_weights(folder, lambda held: {"lm_head.weight" if k == "shared.weight" else k: t for k, t in held.items()})
    assert "do not have shared.weight" in refusal(folder)


@pytest.mark.parametrize("stated", [True, "absent"])
@pytest.mark.parametrize("kind", ["t5", "mt5", "umt5"])
def test_a_tied_config_with_a_head_of_its_own_is_refused_unless_version_5_wrote_it(tmp_path, tokenizer, kind, stated):
    """Version 4 leaves out the head of the file, version 5 the tie of the config; a scale of sqrt(d_model) hangs on it."""
    folder = build_tiny_t5(tmp_path, tokenizer, kind, tied=False, v11=True, layers=(1, 1))
    edit_config(folder, tie_word_embeddings=stated, transformers_version="4.30.0")
    message = refusal(folder)
    assert "config.json ties the head to the embedding, but lm_head.weight differs" in message
    assert "tie_word_embeddings to false" in message
    edit_config(folder, tie_word_embeddings=stated, transformers_version="5.17.0")
    model, _ = load_pretrained(folder, torch.float32)
    assert not family_of(model).tied(model)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (
            ["zero_to_fp32.py", "global_step500/zero_pp_rank_0_mp_rank_00_optim_states.pt"],
            "zero_to_fp32.py beside them",
        ),
        (["global_step500/mp_rank_00_model_states.pt"], "DeepSpeed with its zero_to_fp32.py"),
        (["pytorch_model_fsdp_0/__0_0.distcp"], "accelerate merge-weights"),
        (["pytorch_model_fsdp.bin"], "rename its one file to pytorch_model.bin"),
        (["optimizer.pt", "rng_state.pth"], "save the model with its save_pretrained"),
    ],
)
def test_a_training_in_many_processes_left_no_weights_to_load(folder, left, said):
    """The message was that of transformers: "no file named model.safetensors", which every user knows by then."""
    (folder / "model.safetensors").unlink()
    for name in left:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    message = refusal(folder)
    assert "does not have weights" in message
    assert left[0].partition("/")[0] in message
    assert said in message


def test_a_pickled_model_is_refused_without_advice_to_run_it(folder):
    """torch advises to load it with weights_only=False, with the colors of a terminal."""
    model = T5ForConditionalGeneration.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(model, folder / "pytorch_model.bin")
    message = refusal(folder)
    assert "pytorch_model.bin is damaged, or holds other objects of Python than tensors" in message
    assert "weights_only" not in message
