"""Proteins: a FASTA file and a model like ProtT5, from the file to a student, through a tokenizer that reads spaced letters.

The reference spells sequences by the line of ProtT5's model card and reads them with transformers' tokenizer and encoder.
"""

import random
import re

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

import miniend
from miniend.errors import CacheMismatchError, ConfigurationError
from support.tiny_cache import DUMP

LETTERS = "ALGVSREDTIPKFQNYMHWCX"
FOLDS = "<AA2fold>"
DRAWN = "ACDEFGHIKLMNPQRSTVWYUZOB"


def model_like_prott5(folder):
    """An encoder without decoder, with one piece per residue and the sign with which ProstT5's inputs begin."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(f"▁{letter}", -2.0) for letter in LETTERS] + [(f"▁{FOLDS}", -2.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 2}
    encoder = transformers.T5EncoderModel(transformers.T5Config(vocab_size=len(pieces) + 5, **shape)).eval()
    encoder.save_pretrained(folder)
    return fast, encoder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A file of 60 sequences in lines of 20, some of one line, and the model."""
    folder, drawn = tmp_path_factory.mktemp("proteins"), random.Random(4)
    sequences = ["".join(drawn.choices(DRAWN, k=drawn.randint(3, 70))) for _ in range(60)]
    with open(folder / "proteins.fasta", "w") as file:
        for number, sequence in enumerate(sequences):
            file.write(f">sp|P{number}|X protein {number}\n")
            file.writelines(sequence[n : n + 20] + "\n" for n in range(0, len(sequence), 20))
    return folder, sequences, *model_like_prott5(folder / "teacher")


def dump(home, cache, **settings):
    """A cache of the final states."""
    shared = {name: value for name, value in DUMP.items() if name not in ("signals", "logits", "top_k", "codec")}
    given = {**shared, "encoder_only": True, "examples": 40, "validation_examples": 8, "input_length": 48}
    given |= {"calibration_examples": 20, "hidden_error": 1e-7, "residues": "spaced", **settings}
    for name in ("noise_density", "mean_noise_span_length"):
        given.pop(name, None)
    lines = []
    miniend.dump_teacher(
        teacher=home[0] / "teacher", corpus=home[0] / "proteins.fasta", cache=cache, log=lines.append, **given
    )
    return miniend.open_cache(cache), [str(line) for line in lines]


@pytest.mark.parametrize("prefix", [None, f"{FOLDS} "])
def test_ids_and_states_are_those_of_the_model_cards_line(home, tmp_path, prefix):
    """No letter is unknown, and none is lost but those beyond the longest input."""
    _, sequences, tokenizer, encoder = home
    cache, lines = dump(home, tmp_path / "cache", prefix=prefix)
    spelled = {(prefix or "") + " ".join(re.sub(r"[UZOB]", "X", one)) for one in sequences}
    expected = {(*tokenizer(one, add_special_tokens=False).input_ids[:47], 1) for one in spelled}
    seen = set()
    for example in (*cache, *cache.validation):
        ids = tuple(map(int, example.input_ids))
        seen.add(ids)
        with torch.no_grad():
            states = encoder(input_ids=torch.tensor([ids])).last_hidden_state[0]
        assert torch.allclose(torch.from_numpy(np.asarray(example.hidden["encoder.final"])), states, atol=5e-3)
    assert seen <= expected
    assert len(seen) == 48
    assert not any("<unk>" in line for line in lines), lines


def test_letters_without_spaces_are_counted_as_unknown(home, tmp_path):
    """The mistake that users of ProtT5 make."""
    _, lines = dump(home, tmp_path / "cache", residues=None)
    assert any("<unk>" in line for line in lines), lines


def test_a_student_of_proteins_has_a_card_that_reads_spaced_letters(home, tmp_path, monkeypatch):
    """A user pastes it."""
    cache, _ = dump(home, tmp_path / "cache")
    miniend.train_student(
        cache=cache, output=tmp_path / "s", objective="encoder", size="1L32H", steps=3, batch_size=4, log=lambda _: None
    )
    monkeypatch.chdir(tmp_path / "s")
    found = {}
    exec((tmp_path / "s" / "README.md").read_text().split("```python\n")[1].split("```")[0], found)
    ids = found["tokenizer"]("M K T A Y I A K").input_ids
    assert 2 not in ids
    assert found["states"].shape[1:] == (17, 32)


def test_a_cache_of_other_letters_is_another_cache(home, tmp_path):
    """A dump that went on with the letters as they are would mix two texts."""
    dump(home, tmp_path / "cache", examples=20)
    assert dump(home, tmp_path / "cache", examples=40)[0].complete
    with pytest.raises(CacheMismatchError, match=r"residues"):
        dump(home, tmp_path / "cache", residues=None)
    with pytest.raises(ConfigurationError, match=r"residues is an option of (--)?task text"):
        dump(home, tmp_path / "other", encoder_only=False)
