"""The objective `encoder`: a student's final states, through a map, against the cached final states of its teacher's encoder.

The live side is written with transformers' own encoder classes and torch's own optimizer. It shares the first weights and the
order of the examples with the product, and none of its losses.
"""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import T5EncoderModel

import miniend
from miniend.student_train.config import TrainConfig
from miniend.student_train.reading.loader import BatchSource, Columns, in_order, steps
from miniend.student_train.reading.teacher_signals import TeacherSignals
from miniend.student_train.train import train_student
from support.setups import set_up_alone
from support.tiny_cache import PAIRS, build_tiny_cache
from support.tiny_t5 import ragged_texts

SITE, STEPS, BATCH = "encoder.final@1", 30, 4
LEARNING_RATE, WEIGHT_DECAY, CLIP = 1e-3, 0.01, 1.0
WITHIN = 1e-4
NAMES = ["final.error", "final.cosine"]


@pytest.fixture(scope="module", params=["full", "encoder"])
def home(tmp_path_factory, request):
    """Final states at an error that no loss can feel, of ragged examples: of a full teacher, and of its encoder only."""
    folder = tmp_path_factory.mktemp(request.param)
    settings = {"signals": "encoder.final", "hidden_error": 1e-9}
    if request.param == "full":
        build_tiny_cache(folder, **PAIRS, **settings, logits="none")
    else:
        texts = {"encoder_only": True, "noise_density": 0.15, "logits": None, "top_k": 64}
        build_tiny_cache(folder, **texts, **settings, corpus=str(ragged_texts(folder / "ragged.jsonl")))
    return folder


@pytest.fixture(scope="module")
def cache(home):
    return miniend.open_cache(home / "cache")


def config(home, output, **settings):
    optimizer = {"optimizer": "adamw", "learning_rate": LEARNING_RATE, "warmup_steps": 0, "weight_decay": WEIGHT_DECAY}
    run = {
        "objective": "encoder",
        "size": "1L64H",
        "steps": STEPS,
        "batch_size": BATCH,
        "log_every": 1,
        "device": "cpu",
    }
    return TrainConfig(cache=home / "cache", output=output, max_grad_norm=CLIP, **{**optimizer, **run, **settings})


def prepared(home, cache, **settings):
    return set_up_alone(config(home, home / "unused", **settings), cache)


def parts_of(setup, batch, signals=None):
    distillation = setup.distillation
    with torch.no_grad():
        sums = distillation(batch, signals or setup.feed.decoder.decode(batch))
    return distillation.part_means({name: one.item() for name, one in sums.items()}, distillation.counts(batch))


def all_of(setup):
    """The batch of all training examples."""
    return next(in_order(setup.feed.training, setup.feed.training.layout.total))


def test_a_student_that_is_its_teacher_has_no_error(home, cache):
    """The identity at equal widths: a random map would undo the start."""
    setup = prepared(home, cache, size=None, init=str(home / "teacher"))
    assert not list(setup.distillation.terms.parameters())
    parts = parts_of(setup, all_of(setup))
    assert list(parts) == NAMES
    assert parts == pytest.approx(dict.fromkeys(NAMES, 0.0), abs=1e-6)


def test_the_best_constant_explains_nothing(home, cache):
    """A share whose energy is not centred would promise less than one there."""
    setup = prepared(home, cache)
    with torch.no_grad():
        setup.distillation.terms["final"].maps["final"].weight.zero_()
    parts = parts_of(setup, all_of(setup))
    assert parts[NAMES[0]] == pytest.approx(1.0, rel=1e-4)
    assert 0.05 < parts[NAMES[1]] < 1.0


def test_padding_does_not_count(home, cache):
    """Of a batch of ragged examples, the states at padded places may be anything."""
    setup = prepared(home, cache)
    batch = all_of(setup)
    signals = setup.feed.decoder.decode(batch)
    other = signals.sites[SITE]["hidden"].clone()
    assert not batch.valid["input"].all()
    other[~batch.valid["input"]] = 1e3
    assert parts_of(setup, batch, TeacherSignals({SITE: {"hidden": other}}, {})) == parts_of(setup, batch, signals)


def online(home, cache):
    """The losses, the encoder and the map of a student that trains beside the live teacher."""
    setup = prepared(home, cache)
    teacher = T5EncoderModel.from_pretrained(home / "teacher").eval()
    setup.student.save_pretrained(home / "first")
    student = T5EncoderModel.from_pretrained(home / "first").eval()  # students are trained without dropout
    learned = setup.distillation.terms["final"].maps["final"]
    weight, bias = (torch.nn.Parameter(one.detach().clone()) for one in (learned.weight, learned.bias))
    with torch.no_grad():
        rows = torch.cat([states(teacher, *padded([example]))[0] for example in cache]).double()
    assert torch.allclose(bias.double(), rows.mean(0), rtol=1e-3, atol=1e-3)
    energy = float((rows - rows.mean(0)).square().sum(1).mean())
    parameters = [*student.parameters(), weight, bias]
    groups = [[p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim == 1]]
    adam = torch.optim.AdamW(
        [{"params": groups[0], "weight_decay": WEIGHT_DECAY}, {"params": groups[1], "weight_decay": 0.0}], LEARNING_RATE
    )
    losses = []
    for step, numbers in zip(range(STEPS), orders(cache), strict=False):
        ids, valid = padded([cache[number] for number in numbers])
        with torch.no_grad():
            theirs = states(teacher, ids, valid)[valid]
        mapped = states(student, ids, valid)[valid] @ weight.T + bias
        unexplained = (mapped - theirs).square().sum(1).mean() / energy
        cosine = (mapped * theirs).sum(1) / (mapped.norm(dim=1) * theirs.norm(dim=1))
        loss = (unexplained + (1 - cosine).mean()) / 2
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        for group in adam.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / STEPS)
        adam.step()
        adam.zero_grad()
        losses.append(loss.item())
    return losses, student, weight


def states(model, ids, valid):
    return model(input_ids=ids, attention_mask=valid.long()).last_hidden_state


def padded(examples):
    """Ids [B, longest] filled up with 0, and which places are real."""
    rows = [torch.from_numpy(example.input_ids).long() for example in examples]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return ids, torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).bool()


def orders(cache):
    """Lists of numbers of examples in the loader's order, endless."""
    for (batch,) in steps(BatchSource(cache.training, Columns(cache.family), 0), BATCH, 0, 0):
        yield list(batch.examples)


def test_a_student_of_cached_states_follows_the_student_of_the_live_encoder_and_opens_as_one(home, cache):
    """Every loss, the weights, and the map: of the run, of the file beside the model, and of transformers' encoder class."""
    train_student(config(home, home / "student"), lambda _line: None)
    lines = [json.loads(line) for line in (home / "student" / "metrics.jsonl").read_text().splitlines()]
    losses, student, weight = online(home, cache)
    assert [line["loss"] for line in lines] == pytest.approx(losses, rel=WITHIN)
    assert losses[-1] < 0.9 * losses[0], "a loss that hardly moves would make the comparison empty"
    opened = T5EncoderModel.from_pretrained(home / "student").eval()
    assert opened.config.d_model == 64
    ids, valid = padded(cache.validation)
    with torch.no_grad():
        ours, theirs = (states(one.eval(), ids, valid)[valid] for one in (student, opened))
    assert (ours - theirs).norm() < 0.01 * ours.norm()
    maps = load_file(home / "student" / "projections.safetensors")
    assert (maps["final.maps.final.weight"] - weight).norm() < 0.02 * weight.norm()
