"""A checkpoint as a stranger, a slip or a broken download leaves it: the model that was saved, or one line with its name."""

import json
import os
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from miniend.errors import CheckpointError
from miniend.models.pretrained import load_pretrained
from miniend.models.tokenizer import load_tokenizer
from support.tiny_t5 import build_tiny_t5, tiny_texts
from support.tiny_tokenizer import build_tiny_tokenizer

MEMBERS = (
    *("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads", "dropout_rate"),
    *("relative_attention_num_buckets", "relative_attention_max_distance", "layer_norm_epsilon", "feed_forward_proj"),
    *("pad_token_id", "eos_token_id", "decoder_start_token_id", "tie_word_embeddings", "architectures", "model_type"),
    *(
        "dtype",
        "torch_dtype",
        "is_encoder_decoder",
        "use_cache",
        "initializer_factor",
        "id2label",
        "quantization_config",
    ),
)
VALUES = (
    *(None, True, False, 0, -1, 1, 3, 10**7, 3 * 10**7, 10**12, 10**30, 0.5, -0.5, 1e308, float("nan"), float("inf")),
    *("", "x", "6", "gated-", "a-b-c", "\x1b[2J", "\ud800", "é" * 400, [], [1], ["x"], [[]], {}, {"a": {"b": 1}}),
)
INDEXES = (
    *(b"", b"[]", b"{}", b'{"weight_map": 3}', b'{"weight_map": []}', b'{"weight_map": {"a": 1}}', b"\xff\xfe"),
    *(
        b'{"weight_map": {"a": "../../etc/passwd"}}',
        b'{"weight_map": {"a": "/etc/passwd"}}',
        b'{"weight_map": {"a": "gone"}}',
    ),
    *(
        b'{"weight_map": {"shared.weight": "model.safetensors.index.json"}}',
        b"[" * 100_000,
        b'{"weight_map": {"a": ""}}',
    ),
)
WEIGHTS = (
    *(
        b"",
        b"x",
        b"\x00" * 8,
        b"\xff" * 8,
        b"\x02\0\0\0\0\0\0\0{}",
        b"\x02\0\0\0\0\0\0\0[]",
        b"PK\x03\x04",
        b"\x80\x04N.",
    ),
    b'\x43\0\0\0\0\0\0\0{"shared.weight":{"dtype":"F32","shape":[99999,99999],"data_offsets":[0,4]}}',
)


@pytest.fixture(scope="module")
def tokenizer():
    return build_tiny_tokenizer(tiny_texts(5), 80, sentinels=8)


@pytest.fixture(scope="module")
def original(tmp_path_factory, tokenizer):
    return build_tiny_t5(tmp_path_factory.mktemp("original") / "t5", tokenizer, layers=(1, 2))


@pytest.fixture
def folder(tmp_path, original):
    return shutil.copytree(original, tmp_path / "t5")


def outcome(folder):
    """The model's tensors, or the one line with which it was refused."""
    try:
        return load_pretrained(folder, torch.float32)[0].state_dict()
    except CheckpointError as error:
        said = str(error)
    assert said.isprintable()
    assert len(said) < 1000 + 2 * len(str(folder))
    return said


@settings(max_examples=60)
@given(member=st.sampled_from(MEMBERS), value=st.sampled_from(VALUES))
def test_any_member_of_config_json_may_be_anything(original, tmp_path_factory, member, value):
    """3e7 layers were built one by one for hours; a text as a size was blamed on the tokenizer."""
    folder = shutil.copytree(original, tmp_path_factory.mktemp("odd") / "t5")
    kept = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(kept | {member: value}))
    found = outcome(folder)
    if not isinstance(found, str):
        before = load_file(original / "model.safetensors")
        assert all(torch.equal(found[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(
    ("member", "value"), [("num_layers", 3 * 10**7), ("d_model", "32"), ("vocab_size", 2**30), ("d_ff", -1)]
)
def test_an_odd_size_is_named_with_its_value(folder, member, value):
    kept = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(kept | {member: value}))
    said = outcome(folder)
    assert isinstance(said, str)
    assert str(value) in said
    assert "config.json" in said


@pytest.mark.parametrize(
    "content", [*WEIGHTS[:3], b"[]", b"3", b"null", b"[" * 100_000, b"\xff\xfe{}", b'{"a": "\\ud800"}']
)
@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"])
def test_any_small_file_may_hold_anything(folder, name, content):
    """RecursionError and PanicException are not among the errors that a library is expected to raise."""
    (folder / name).write_bytes(content)
    outcome(folder)
    try:
        load_tokenizer(folder)
    except CheckpointError as error:
        said = str(error)
        assert said.isprintable()


@pytest.mark.parametrize("value", ["x", [1], -1, 10**9, 1.5, {}, True])
def test_the_first_token_of_generation_config_is_an_id(folder, value):
    """int("x") was a traceback, and an id beyond the vocabulary an IndexError in the first batch."""
    for name in ("config.json", "generation_config.json"):
        kept = json.loads((folder / name).read_text())
        kept.pop("decoder_start_token_id", None)
        (folder / name).write_text(
            json.dumps(kept | ({"decoder_start_token_id": value} if name.startswith("gen") else {}))
        )
    assert isinstance(outcome(folder), str)


@pytest.mark.parametrize("content", INDEXES, ids=range(len(INDEXES)))
@pytest.mark.parametrize("kind", ["model.safetensors", "pytorch_model.bin"])
def test_any_index_of_shards_is_one_line(folder, kind, content):
    """An index can name files that are missing, of another folder, or itself."""
    (folder / "model.safetensors").unlink()
    (folder / f"{kind}.index.json").write_bytes(content)
    said = outcome(folder)
    assert isinstance(said, str)
    assert "index.json" in said or b"index.json" in content


def test_an_index_does_not_lead_out_of_its_folder(folder, tmp_path):
    """A file of another folder is there, and nobody asked for it."""
    names = list(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").rename(tmp_path / "other.safetensors")
    index = {"weight_map": dict.fromkeys(names, "../other.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names a file outside of the folder" in outcome(folder)


@pytest.mark.parametrize("value", [[1], {"a": 3}, {"model": {}}], ids=str)
def test_a_pickle_of_something_else_is_named(folder, value):
    """Training scripts save the state of the optimizer, or tensors one level below."""
    (folder / "model.safetensors").unlink()
    torch.save(value, folder / "pytorch_model.bin")
    assert "does not hold tensors by name" in outcome(folder)


@pytest.mark.parametrize("content", WEIGHTS, ids=range(len(WEIGHTS)))
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_any_file_of_weights_is_one_line(folder, name, content):
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(content)
    assert isinstance(outcome(folder), str)


@settings(max_examples=25)
@given(data=st.data())
def test_any_tensors_load_right_or_are_named(original, tmp_path_factory, data):
    """Names, shapes, dtypes and prefixes of wrapped models: equal tensors, or one line."""
    folder = shutil.copytree(original, tmp_path_factory.mktemp("any") / "t5")
    tensors = load_file(original / "model.safetensors")
    prefix = data.draw(st.sampled_from(["", "", "module.", "model.", "base_model.model.", "_orig_mod."]))
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]))
    changed = {prefix + name: tensor.to(dtype) for name, tensor in tensors.items()}
    extra = data.draw(st.dictionaries(st.text(max_size=8), st.lists(st.integers(0, 3), max_size=3), max_size=2))
    changed |= {
        f"x{name.encode('ascii', 'backslashreplace').decode()}": torch.zeros(shape) for name, shape in extra.items()
    }
    save_file(changed, folder / "model.safetensors", {"format": "pt"})
    found = outcome(folder)
    if isinstance(found, str):
        assert prefix or extra
    else:
        assert all(torch.equal(found[name], tensor.to(dtype).float()) for name, tensor in tensors.items())


def test_odd_places_of_a_checkpoint_are_one_line(folder, tmp_path):
    """A folder where a file should be, links to nothing, names that are too long or not UTF-8, and 1,100 folders."""
    (folder / "config.json").rename(folder / "kept.json")
    (folder / "config.json").mkdir()
    assert "is not a T5-family checkpoint" in outcome(folder)
    (folder / "config.json").rmdir()
    (folder / "config.json").symlink_to("gone")
    assert "is not a T5-family checkpoint" in outcome(folder)
    for name in ("x" * 300, os.fsdecode(b"a\xff"), "a\nb", "", ".", "..", "/".join("d" * 1100), "~", "a b"):
        said = outcome(name)
        assert isinstance(said, str), name
    odd = tmp_path / os.fsdecode(b"t5-\xff\n")
    shutil.copytree(folder, odd, symlinks=True)
    (odd / "config.json").unlink()
    (odd / "kept.json").rename(odd / "config.json")
    assert isinstance(outcome(odd), (str, dict))
