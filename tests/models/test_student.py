"""Students: fresh, loaded and saved, they are the model that plain transformers loads from their folder."""

import json
import math
import warnings

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedTokenizerFast

from miniend.errors import CheckpointError, ConfigurationError
from miniend.models.families.t5 import head_scale, is_tied, restore_head_scale, scales_decoder_output
from miniend.models.size import student_config
from miniend.models.student import build_student, init_from_teacher, load_student, save_student

KINDS = ("t5", "mt5", "umt5")
BOTH = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
ALL = pytest.mark.parametrize("kind", KINDS)


def teacher_of(kind, rows=200):
    return {
        "model_type": kind,
        "vocab_size": rows,
        "feed_forward_proj": "relu" if kind == "t5" else "gated-gelu",
        "dropout_rate": 0.1,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }


def fresh(kind, tied, size="2L64H", rows=200, seed=0):
    return build_student(student_config(size, teacher_of(kind, rows)), tied, seed)


def tokens(rows, shape, seed=1):
    return torch.randint(2, rows, shape, generator=torch.Generator().manual_seed(seed))


def logits(model):
    rows = model.lm_head.weight.shape[0]
    with torch.no_grad():
        return model.eval()(input_ids=tokens(rows, (2, 11)), labels=tokens(rows, (2, 7), 2)).logits


def perturb(model, seed=5):
    """Move every weight, so that nothing keeps a value that loading might fall back to."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * parameter.std() * torch.randn(parameter.shape, generator=generator) + 1e-3)
    return model


@pytest.fixture(scope="module")
def tokenizer_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    words = ["<pad>", "</s>", "<unk>", "a", "student", "learns"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@ALL
@BOTH
@pytest.mark.parametrize(("size", "rows"), [("2L64H", 200), ("2L64H", 32128), ("2L768H", 200), ("2L768H", 4000)])
def test_every_student_starts_within_a_nat_of_guessing(kind, tied, size, rows):
    """A head of the wrong scale starts at 74 nats, trains all the same, and loses the first thousands of steps."""
    model = fresh(kind, tied, size, rows)
    with torch.no_grad():
        loss = model(input_ids=tokens(rows, (2, 32)), labels=tokens(rows, (2, 64), 2)).loss
    assert abs(loss.item() - math.log(rows)) < 1.0
    assert is_tied(model) == tied


@ALL
@BOTH
def test_a_saved_student_is_bit_for_bit_the_one_that_plain_transformers_loads(tmp_path, tokenizer_files, kind, tied):
    """transformers 5 re-ties heads and rescales logits on load; the student that was measured must be the one on disk."""
    model = perturb(fresh(kind, tied))
    save_student(model, tmp_path / "out", tokenizer_files, "# card")
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "out")
    assert is_tied(again) == tied
    assert torch.equal(logits(model), logits(again))
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("a student learns").input_ids == [3, 4, 5]
    assert again.config.dropout_rate == 0.1
    assert again.generation_config.decoder_start_token_id == 0
    assert (tmp_path / "out" / "README.md").read_text() == "# card"


@ALL
@BOTH
def test_a_student_used_as_a_teacher_keeps_its_head_scale(tmp_path, kind, tied):
    """A second dump reads tie and scale from config.json; a lie there flattens its logits and stays green elsewhere."""
    model = perturb(fresh(kind, tied))
    save_student(model, tmp_path, {}, "")
    raw = json.loads((tmp_path / "config.json").read_text())
    assert raw["tie_word_embeddings"] == tied
    assert raw["architectures"] == [type(model).__name__]
    assert scales_decoder_output(raw) == (head_scale(model) != 1.0)
    teacher = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    restore_head_scale(teacher, raw)
    assert torch.equal(logits(model), logits(teacher))


def test_saving_over_a_student_leaves_only_the_new_one(tmp_path, tokenizer_files):
    """A rest of an earlier, killed save must not survive in the folder."""
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / "junk").write_text("")
    save_student(fresh("t5", True), tmp_path, tokenizer_files, "old")
    model = perturb(fresh("t5", True))
    save_student(model, tmp_path, tokenizer_files, "new")
    assert torch.equal(logits(model), logits(AutoModelForSeq2SeqLM.from_pretrained(tmp_path)))
    expected = {"model.safetensors", "config.json", "generation_config.json", "README.md", *tokenizer_files}
    assert {path.name for path in tmp_path.iterdir()} == expected


@pytest.mark.parametrize("name", ["../escape.json", "config.json", "model.safetensors"])
def test_tokenizer_files_cannot_leave_the_folder_or_replace_the_model(tmp_path, name):
    """File names come from a cache that somebody else made."""
    with pytest.raises(ConfigurationError, match="plain file name"):
        save_student(fresh("t5", True), tmp_path / "out", {name: b""}, "")
    assert not (tmp_path / "escape.json").exists()


@BOTH
def test_a_student_depends_on_its_seed_alone(tied):
    """Runs are compared seed by seed; drawing from the global state would also shift everything drawn after it."""
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = fresh("t5", tied, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    second, third = fresh("t5", tied, seed=3), fresh("t5", tied, seed=4)
    pairs = list(zip(first.parameters(), second.parameters(), third.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)


@ALL
def test_a_student_in_train_mode_drops_nothing(kind):
    """Dropout in a student inflates every relation and differs from run to run."""
    model = fresh(kind, True).train()
    inputs, labels = tokens(200, (2, 9)), tokens(200, (2, 9), 2)
    with torch.no_grad():
        first, second = (model(input_ids=inputs, labels=labels).logits for _ in range(2))
    assert torch.equal(first, second)
    assert model.config.dropout_rate == 0.1


@ALL
@BOTH
def test_training_goes_on_from_a_saved_student(tmp_path, kind, tied):
    """--init of our own output must not rescale anything."""
    model = perturb(fresh(kind, tied))
    save_student(model, tmp_path, {}, "")
    again = load_student(tmp_path, teacher_of(kind))
    assert is_tied(again) == tied
    assert torch.equal(logits(model), logits(again))
    assert all(module.p == 0 for module in again.modules() if isinstance(module, torch.nn.Dropout))


@pytest.mark.parametrize("source", ["load", "layers"])
def test_released_umt5_weights_keep_the_logits_that_their_authors_meant(tmp_path, source):
    """Plain transformers flattens the logits of untied umT5 about 22-fold; the student would start from that."""
    model = perturb(fresh("umt5", False, "2L64H"))
    model.save_pretrained(tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text()) | {"tie_word_embeddings": False}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    restore_head_scale(model, raw)
    if source == "load":
        student = load_student(tmp_path, teacher_of("umt5"))
    else:
        student = init_from_teacher(student_config("2L64H", teacher_of("umt5")), tmp_path)
    assert head_scale(student) != head_scale(model)
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
    transformers.T5EncoderModel(fresh("t5", True).config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="lacks"):
        load_student(tmp_path, teacher_of("t5"))


@ALL
@BOTH
def test_a_student_as_deep_as_its_teacher_starts_as_its_teacher(tmp_path, kind, tied):
    """Any weight that is not copied, and any wrong scale, shows here."""
    teacher = perturb(
        build_student(student_config("3E2D64H", teacher_of(kind)) | {"d_kv": 16, "num_heads": 6}, tied, 7)
    )
    save_student(teacher, tmp_path, {}, "")
    student = init_from_teacher(student_config("3E2D64H", teacher_of(kind)), tmp_path)
    assert is_tied(student) == tied
    assert student.config.d_kv == 16
    assert head_scale(student) == head_scale(teacher)
    assert torch.equal(logits(student), logits(teacher))


@ALL
def test_layers_are_spaced_evenly_and_end_with_the_last(tmp_path, kind):
    """The distilled site is the last layer; the relative position bias exists in the first block alone (T5, mT5)."""
    teacher = perturb(fresh(kind, False, "6E4D64H"))
    save_student(teacher, tmp_path, {}, "")
    student = init_from_teacher(student_config("3E2D64H", teacher_of(kind)), tmp_path)
    for stack, layers in (("encoder", (1, 3, 5)), ("decoder", (1, 3))):
        ours, theirs = getattr(student, stack).block, getattr(teacher, stack).block
        for block, layer in zip(ours, layers, strict=True):
            assert torch.equal(
                block.layer[-1].DenseReluDense.wo.weight, theirs[layer].layer[-1].DenseReluDense.wo.weight
            )
        bias_from = layers[0] if kind == "umt5" else 0
        bias = [blocks.layer[0].SelfAttention.relative_attention_bias.weight for blocks in (ours[0], theirs[bias_from])]
        assert torch.equal(*bias)


def test_students_that_do_not_fit_their_teacher_are_told_what_would(tmp_path):
    """A cropped or repeated layer would look like a head start."""
    save_student(fresh("t5", True, "2L96H"), tmp_path, {}, "")
    with pytest.raises(ConfigurationError, match="2L96H"):
        init_from_teacher(student_config("2L64H", teacher_of("t5")), tmp_path)
    with pytest.raises(ConfigurationError, match=r"2E1D96H"):
        init_from_teacher(student_config("2E1D64H", teacher_of("t5")), tmp_path)
    with pytest.raises(ConfigurationError, match="at most the teacher's depth"):
        init_from_teacher(student_config("3L96H", teacher_of("t5")), tmp_path)


def test_loading_an_untied_student_is_silent(tmp_path, capfd):
    """A line about tied weights on every run teaches people to ignore lines."""
    save_student(fresh("t5", False), tmp_path, {}, "")
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_student(tmp_path, teacher_of("t5"))
    assert capfd.readouterr() == ("", "")
