"""Generation of students whose decoder is deeper than their encoder."""

import json

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from miniend.models.pretrained import load_pretrained
from miniend.models.save import save_student
from support.students import FAMILY_NAMES, fresh, perturb, tokens


@pytest.mark.parametrize("size", ["1E2D64H", "2E1D64H", "1L64H"])
@pytest.mark.parametrize("kind", FAMILY_NAMES)
def test_students_of_any_depths_generate_in_plain_transformers(tmp_path, kind, size):
    """transformers' cache has as many layers as the encoder: 1E2D64H ended in an IndexError."""
    save_student(perturb(fresh(kind, True, size)), tmp_path, {}, "")
    ids = tokens(200, (2, 9))
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    greedy = model.generate(ids, max_new_tokens=6, do_sample=False)
    assert torch.equal(greedy, model.generate(ids, max_new_tokens=6, do_sample=False, use_cache=False))
    assert model.generate(ids, max_new_tokens=6, num_beams=2).shape[0] == 2
    stated = json.loads((tmp_path / "generation_config.json").read_text())
    assert (stated.get("use_cache") is False) == (size == "1E2D64H"), "others keep the cache, which is faster"


def test_a_checkpoint_of_others_generates_too(tmp_path):
    """`miniend evaluate` generates with any checkpoint, whatever its generation_config.json says."""
    save_student(fresh("t5", True, "1E2D64H"), tmp_path, {}, "")
    (tmp_path / "generation_config.json").unlink()
    model, _ = load_pretrained(tmp_path, torch.float32)
    assert model.generate(tokens(200, (1, 5)), max_new_tokens=3, do_sample=False).shape[1] <= 4
