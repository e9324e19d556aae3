"""Sizes: what a size string or a config file means, and what a student must take from its teacher."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miniend.errors import ConfigurationError
from miniend.models.size import Size, describe_size, parse_size, proposed_size, student_config

T5_BASE = {
    "model_type": "t5",
    "d_model": 768,
    "d_kv": 64,
    "d_ff": 3072,
    "num_heads": 12,
    "num_layers": 12,
    "vocab_size": 32128,
    "feed_forward_proj": "relu",
    "dropout_rate": 0.1,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
    "torch_dtype": "bfloat16",
}
V1_1 = T5_BASE | {"feed_forward_proj": "gated-gelu", "d_ff": 2048, "tie_word_embeddings": False}
FILE = {"d_model": 96, "d_kv": 16, "d_ff": 100, "num_heads": 3, "num_layers": 2}


def test_published_student_has_the_published_shape():
    """6L384H is 12 heads of 32 with a feed-forward of 1536 (ungated) or 1024 (gated); another shape is another student."""
    ungated, gated = student_config("6L384H", T5_BASE), student_config("6L384H", V1_1)
    assert (ungated["num_heads"], ungated["d_kv"], ungated["d_ff"]) == (12, 32, 1536)
    assert (gated["num_heads"], gated["d_kv"], gated["d_ff"]) == (12, 32, 1024)
    assert (gated["num_layers"], gated["num_decoder_layers"], gated["feed_forward_proj"]) == (6, 6, "gated-gelu")


def test_precision_and_widths_of_the_teacher_do_not_leak_into_the_student():
    """A bfloat16 teacher's dtype would silently make a bfloat16 student."""
    assert not {"torch_dtype", "dtype", "tie_word_embeddings"} & set(student_config("6L384H", V1_1))


def test_unequal_depths_go_to_the_right_stacks():
    """Swapped depths still train."""
    config = student_config("6E3D384H", T5_BASE)
    assert (config["num_layers"], config["num_decoder_layers"]) == (6, 3)


@given(st.integers(1, 99), st.integers(1, 99), st.integers(1, 64).map(lambda n: 32 * n))
def test_a_printed_size_reads_back(encoder, decoder, width):
    """Sizes name output folders and table rows."""
    size = Size(encoder, decoder, width)
    assert parse_size(str(size)) == size


@given(st.integers(1, 200).map(lambda n: 32 * n))
def test_gated_feed_forwards_are_multiples_of_64_near_eight_thirds(width):
    """Widths off the grid are slow on tensor cores, and would differ from one version to the next."""
    feed_forward = student_config(f"2L{width}H", V1_1)["d_ff"]
    assert feed_forward % 64 == 0
    assert feed_forward > 0
    assert abs(feed_forward - 8 * width / 3) <= 32


@pytest.mark.parametrize(
    "text", ["", "6L", "384H", "6l384h", "6L384H ", "0L384H", "06L384H", "6E384H", "6D3E384H", "x/y.json"]
)
def test_anything_else_is_refused_with_both_forms(text):
    """A half-understood size would train the wrong student for days."""
    with pytest.raises(ConfigurationError, match=r"6L384H.*6E3D384H"):
        student_config(text, T5_BASE)


@pytest.mark.parametrize("size", ["100000L32H", "1E513D32H", "1L16416H", "9" * 30 + "L32H"])
def test_a_slip_of_the_hand_costs_no_memory(size):
    """100,000 layers took 14 GB and eight minutes until somebody ended it."""
    with pytest.raises(ConfigurationError, match="is too large: expected at most 512 layers and a d_model of 16,384"):
        parse_size(size)
    assert str(parse_size("512L16384H")) == "512L16384H"


def test_widths_that_no_heads_of_32_fill_are_refused_with_the_nearest():
    """The remainder would vanish in an integer division."""
    with pytest.raises(ConfigurationError, match="384 or 416"):
        parse_size("6L400H")


def test_a_config_file_keeps_its_widths_and_gets_the_teachers_vocabulary(tmp_path):
    """Rows other than the teacher's make logits of the cache point at other tokens."""
    (tmp_path / "config.json").write_text(json.dumps(FILE | {"dropout_rate": 0.2, "num_decoder_layers": 1}))
    for path in (tmp_path, tmp_path / "config.json"):
        config = student_config(str(path), V1_1)
        assert {key: config[key] for key in FILE} == FILE
        assert (config["vocab_size"], config["model_type"], config["dropout_rate"]) == (32128, "t5", 0.2)
        assert (config["num_decoder_layers"], config["feed_forward_proj"]) == (1, "gated-gelu")


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"vocab_size": 32100}, "vocab_size 32100"),
        ({"model_type": "mt5"}, "model_type 'mt5'"),
        ({"eos_token_id": 2}, "eos_token_id 2"),
        ({"d_ff": None}, "d_ff"),
        ({"num_heads": "3"}, "num_heads"),
    ],
)
def test_a_config_file_that_contradicts_its_teacher_is_refused(tmp_path, extra, named):
    """Overriding what a file says, silently, trains another model than its author asked for."""
    path = tmp_path / "student.json"
    path.write_text(json.dumps(FILE | extra))
    with pytest.raises(ConfigurationError, match=named):
        student_config(str(path), T5_BASE)


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_config_file_that_is_no_object_is_refused(tmp_path, content):
    """A traceback from json says nothing about sizes."""
    path = tmp_path / "student.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="size file"):
        student_config(str(path), T5_BASE)


def test_a_folder_called_like_a_size_does_not_change_what_the_size_means(tmp_path, monkeypatch):
    """An output folder named 6L384H in the working directory would otherwise be read as a config."""
    (tmp_path / "6L384H").mkdir()
    monkeypatch.chdir(tmp_path)
    assert student_config("6L384H", T5_BASE)["d_model"] == 384


def test_old_configs_without_a_feed_forward_kind_mean_transformers_defaults():
    """The released t5-base says nothing, and is ungated; mT5 classes default to gated."""
    silent = {key: value for key, value in T5_BASE.items() if key != "feed_forward_proj"}
    assert student_config("2L64H", silent)["feed_forward_proj"] == "relu"
    assert student_config("2L64H", silent | {"model_type": "mt5"})["feed_forward_proj"] == "gated-gelu"


def test_the_description_names_depth_and_widths():
    """The card and the log show what was really built."""
    text = describe_size(student_config("6E3D384H", V1_1))
    assert "6+3 layers" in text
    assert "12 heads of 32" in text
    assert "gated-gelu feed-forward of 1024" in text


@pytest.mark.parametrize(
    ("teacher", "size"),
    [((6, 6, 512), "3L256H"), ((12, 12, 768), "6L384H"), ((24, 24, 1024), "12L512H"), ((4, 3, 96), "2L64H")],
)
def test_the_proposed_student_has_half_the_depth_and_half_the_width(teacher, size):
    """For T5-base it is the MiniEnD paper's student."""
    assert proposed_size(*teacher) == size


@given(st.integers(1, 512), st.integers(1, 512), st.integers(1, 2**15))
def test_every_teacher_has_a_proposed_student_which_is_not_larger(encoder, decoder, width):
    """Below a width of 32, which is the width of one head, nothing smaller can be proposed."""
    size = parse_size(proposed_size(encoder, decoder, width))
    assert size.encoder_layers <= encoder
    assert size.decoder_layers <= decoder
    assert size.d_model <= max(width, 32)
