"""Text encoders of pipelines: some read the padding of a prompt like text, and a cache for them must hold those states.

The reference calls transformers' encoder as the pipelines of diffusers do: padded to the longest length, without a mask.
"""

import numpy as np
import pytest
import torch
import transformers

import miniend
from miniend.errors import CacheMismatchError, ConfigurationError
from miniend.models.tokenizer import load_tokenizer
from miniend.storage.documents.values import PIPELINES, READS_PADDING
from support.tiny_cache import build_tiny_cache
from support.tiny_t5 import ragged_texts

LENGTH = 40
ENCODER = {"encoder_only": True, "noise_density": 0.15, "logits": None, "top_k": 64, "hidden_error": 1e-7}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A cache of prompts for FLUX."""
    folder = tmp_path_factory.mktemp("flux")
    corpus = str(ragged_texts(folder / "ragged.jsonl"))
    build_tiny_cache(folder, corpus=corpus, pipeline="flux", input_length=LENGTH, **ENCODER)
    return folder


def as_the_pipeline_calls(encoder, ids):
    """The states of prompts that the tokenizer has padded."""
    with torch.no_grad():
        return encoder(torch.from_numpy(np.stack(ids)).long(), output_hidden_states=False)[0]


def test_padded_prompts_have_the_states_that_the_pipeline_reads(home):
    """Every prompt is as long as the longest, and what a mask would hide is different."""
    cache = miniend.open_cache(home / "cache")
    encoder = transformers.T5EncoderModel.from_pretrained(home / "teacher").eval()
    examples = [cache[number] for number in range(len(cache))]
    ids = [np.asarray(one.input_ids) for one in examples]
    assert {len(one) for one in ids} == {LENGTH}
    ragged = [int((one != 0).sum()) for one in ids]
    assert len(set(ragged)) > 4
    theirs = as_the_pipeline_calls(encoder, ids).double()
    ours = torch.stack([torch.from_numpy(np.asarray(one.hidden["encoder.final"])) for one in examples]).double()
    assert float((ours - theirs).square().sum() / (theirs - theirs.mean((0, 1))).square().sum()) < 3e-7
    with torch.no_grad():
        mask = torch.from_numpy(np.stack(ids) != 0).long()
        masked = encoder(torch.from_numpy(np.stack(ids)).long(), attention_mask=mask).last_hidden_state.double()
    assert float((ours - masked)[mask.bool()].square().mean()) > 1e-3


def test_ids_are_those_of_the_tokenizer_padded_to_the_longest_length(home):
    """EOS after the prompt, then padding."""
    cache, tokenizer = miniend.open_cache(home / "cache"), load_tokenizer(str(home / "teacher"))
    for number in range(8):
        ids = np.asarray(cache[number].input_ids)
        prompt = tokenizer.decode(ids[: int((ids != 0).sum()) - 1])
        padded = tokenizer(prompt, padding="max_length", max_length=LENGTH, truncation=True).input_ids
        assert ids.tolist() == padded


def test_a_student_takes_the_teachers_place_in_such_a_call(home, tmp_path, monkeypatch):
    """Its card reads a prompt as the pipeline does, and its states have the teacher's width."""
    miniend.train_student(
        cache=home / "cache",
        output=tmp_path / "s",
        objective="encoder",
        size="1L64H",
        steps=3,
        batch_size=4,
        log=lambda _: None,
    )
    student = miniend.ProjectedT5Encoder.from_student(tmp_path / "s")
    ids = [np.asarray(miniend.open_cache(home / "cache")[0].input_ids)]
    assert as_the_pipeline_calls(student, ids).shape == (1, LENGTH, 32)
    assert student.dtype == torch.float32
    monkeypatch.chdir(tmp_path / "s")
    found = {}
    exec((tmp_path / "s" / "README.md").read_text().split("```python\n")[1].split("```")[0], found)
    assert found["states"].shape == (1, LENGTH, 32)


@pytest.mark.parametrize("pipeline", [one for one in PIPELINES if one not in READS_PADDING])
def test_other_pipelines_mask_their_padding_so_prompts_stay_ragged(home, tmp_path, pipeline):
    settings = {**ENCODER, "pipeline": pipeline, "input_length": LENGTH, "corpus": str(home / "ragged.jsonl")}
    cache = miniend.open_cache(build_tiny_cache(tmp_path, examples=8, calibration_examples=6, **settings))
    assert len({len(cache[number].input_ids) for number in range(8)}) > 2


def test_a_dump_for_another_pipeline_is_another_cache(home):
    with pytest.raises(CacheMismatchError, match="pipeline"):
        miniend.dump_teacher(cache=home / "cache", pipeline="wan", log=lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pipeline is an option of (--)?task text"):
        miniend.dump_teacher(
            teacher=home / "teacher", corpus="python-docs", cache=home / "other", examples=8, pipeline="flux"
        )
