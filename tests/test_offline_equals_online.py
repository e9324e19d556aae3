"""Training from a cache follows, step by step, training beside the live teacher.

The other side is written here from the papers' definitions, with plain transformers forwards and hooks: it imports neither
the package's signals nor its losses, and its optimizer is torch's own. Shared are the student's first weights, the order
of the examples and, for draws, the random numbers and the order of ids. The cache is ragged, so that masks matter, and its
relation temperatures are calibrated, so that they do.
"""

import ast
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM

import miniend
from miniend.models.size import student_config
from miniend.models.start.fresh import build_student
from miniend.student_train.config import TrainConfig
from miniend.student_train.reading.loader import BatchSource, Columns, steps
from miniend.student_train.train import train_student
from miniend.teacher_dump.examples.span_corruption import example_rng
from support.tiny_cache import LOSSLESS, PAIRS, build_tiny_cache

STEPS, BATCH, HEADS, SIZE = 25, 4, 8, "2L32H"
DRAWS = 60
LEARNING_RATE, WARMUP, WEIGHT_DECAY, CLIP = 1e-3, 5, 0.01, 1.0
WITHIN = 1e-3
SELF = ("query", "key", "value")
TERMS = {
    "scratch": ("labels",),
    "logits": ("logits",),
    "minilm": ("decoder.self",),
    "implicit": ("logits", "decoder.self"),
    "miniend-d": ("logits", "decoder.self", "decoder.cross"),
    "miniend-e": ("logits", "decoder.self", "encoder.self"),
}
RUNS = {
    "logits hybrid": {"objective": "logits"},
    "logits from states": {"objective": "logits", "temperature": 3.0},
    "scratch": {"objective": "scratch"},
    "logits": {"objective": "logits"},
    "logits at temperature 2": {"objective": "logits", "temperature": 2.0},
    "minilm": {"objective": "minilm"},
    "implicit": {"objective": "implicit"},
    "d by qk": {"objective": "miniend-d"},
    "d by qq_kk_vv": {"objective": "miniend-d", "cross_relation": "qq_kk_vv"},
    "e": {"objective": "miniend-e"},
    "d by qk without logits": {"objective": "miniend-d", "logits": False},
    "d by qq_kk_vv without logits": {"objective": "miniend-d", "logits": False, "cross_relation": "qq_kk_vv"},
    "e without logits": {"objective": "miniend-e", "logits": False},
}

SUMS_OF_OTHERS = ("implicit", "d by qq_kk_vv without logits")
"""Runs without a term of their own: each of their terms is in another run, with and without logits beside it."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with an untied, gated teacher (uniform relations at the published scale) and its near-lossless cache."""
    folder = tmp_path_factory.mktemp("online")
    settings = {**PAIRS, **LOSSLESS, "validation_examples": 0, "relation_temperature": "calibrated", "sharpen": 1.0}
    settings["temperatures"] = (4.0, 2.0)
    build_tiny_cache(folder, tied=False, v11=True, d_kv=12, **settings)
    hybrid = {
        **settings,
        "logits": "hybrid",
        "temperatures": (),
        "draws": DRAWS,
        "signals": "none",
        "cache": folder / "hybrid",
    }
    build_tiny_cache(folder, teacher=folder / "teacher", **hybrid)
    states = {**hybrid, "logits": "from-hidden", "hidden_error": 1e-8, "cache": folder / "states"}
    build_tiny_cache(folder, teacher=folder / "teacher", **states)
    return folder


def cache_of(run):
    """The folder of the cache that a run is made from."""
    return next((name for name in ("hybrid", "states") if name in run), "cache")


def offline(home, run):
    """The product's own run: its lines of metrics.jsonl and its final weights, computed once per run."""
    output = home / run.replace(" ", "-")
    if not output.exists():
        optimizer = {
            "optimizer": "adamw",
            "learning_rate": LEARNING_RATE,
            "warmup_steps": WARMUP,
            "weight_decay": WEIGHT_DECAY,
            "max_grad_norm": CLIP,
        }
        train_student(
            TrainConfig(
                cache=home / cache_of(run),
                output=output,
                size=SIZE,
                steps=STEPS,
                batch_size=BATCH,
                relation_heads=HEADS,
                log_every=1,
                device="cpu",
                **optimizer,
                **RUNS[run],
            ),
            log=lambda _line: None,
        )
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    return lines, load_file(output / "model.safetensors")


def fresh_student(cache):
    return build_student(student_config(SIZE, cache.plan.teacher.config), tied=False, seed=0)


def online(home, run, steps=STEPS, inverse_temperature=None, causal=True, padding=True, draw_seed=0):
    """Train the same student beside the live teacher; returns the losses and the student.

    `inverse_temperature` other than None, `causal=False`, `padding=False` and another `draw_seed` are the mistakes that
    the comparison has to find.
    """
    cache = miniend.open_cache(home / cache_of(run))
    teacher = AutoModelForSeq2SeqLM.from_pretrained(home / "teacher").eval()
    student = fresh_student(cache)
    adam = torch.optim.AdamW(
        [
            {"params": [p for p in student.parameters() if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in student.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=LEARNING_RATE,
    )
    losses = []
    for step, numbers in zip(range(1, steps + 1), batches(cache), strict=False):
        examples = [cache[number] for number in numbers]
        temperatures = {name: dict(codec.inverse_temperature) for name, codec in cache.codecs_of("relations").items()}
        if inverse_temperature is not None:
            temperatures = {name: dict.fromkeys(found, inverse_temperature) for name, found in temperatures.items()}
        draws = Draws(cache, numbers, draw_seed) if "hybrid" in run else None
        loss = naive_loss(teacher, student, examples, RUNS[run], temperatures, causal, padding, draws)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in student.parameters() if p.grad is not None], CLIP)
        adam.param_groups[0]["lr"] = adam.param_groups[1]["lr"] = LEARNING_RATE * (
            step / WARMUP if step <= WARMUP else 1 - (step - 1 - WARMUP) / (STEPS - WARMUP)
        )
        adam.step()
        adam.zero_grad()
        losses.append(loss.item())
    return losses, student


def batches(cache):
    """Lists of numbers of examples in the loader's order, endless."""
    for (batch,) in steps(BatchSource(cache.training, Columns(cache.family), 0), BATCH, 0, 0):
        yield list(batch.examples)


class Draws:
    """The hybrid distributions of some examples, drawn beside the live teacher with the cache's own numbers."""

    def __init__(self, cache, numbers, seed):
        lengths = [len(cache[number].labels) for number in numbers]
        found = [example_rng(seed, 2, number).random(n) for number, n in zip(numbers, lengths, strict=True)]
        self.uniforms = np.concatenate(found)
        self.order = torch.from_numpy(cache.calibration_folder.column("logits.order").astype(np.int64))

    def loss(self, log_p, log_q):
        """The mean over positions of head terms, the tail's entropy in eighths of a nat, and draws."""
        total = 0.0
        for p, q, number in zip(log_p, log_q, self.uniforms, strict=True):
            head = p.exp() >= 1 / DRAWS
            rest = torch.where(head, 0.0, p.exp())
            m = float(rest.sum())
            entropy = round(-float((rest * p).sum()) * 8) / 8
            total += (p.exp() * (p - q))[head].sum() - entropy
            size = round(DRAWS * m) if DRAWS * m >= 1 else int(number < DRAWS * m)
            offset = number if DRAWS * m >= 1 else number / (DRAWS * m)
            steps = rest[self.order].cumsum(0)
            for draw in range(size):
                place = int((steps <= (draw + offset) / size * float(steps[-1])).sum())
                total -= max(m, 1 / DRAWS) / size * q[self.order[place]]
        return total / len(log_p)


def naive_loss(teacher, student, examples, settings, temperatures, causal, padding, draws):
    """The sum of the objective's terms in float64, from two whole forwards."""
    inputs, input_valid = padded([example.input_ids for example in examples])
    labels, target_valid = padded([example.labels for example in examples])
    started = torch.cat([torch.zeros_like(labels[:, :1]), labels[:, :-1]], dim=1)
    feed = {"input_ids": inputs, "attention_mask": input_valid.long(), "decoder_input_ids": started}
    with torch.no_grad():
        theirs = run_with_hooks(teacher, feed)
    ours = run_with_hooks(student, feed)
    total = torch.zeros((), dtype=torch.float64)
    for term in TERMS[settings["objective"]]:
        if term == "labels":
            log_q = ours["logits"].double().log_softmax(-1)
            total += -log_q.gather(-1, labels[..., None])[..., 0][target_valid].mean()
        elif term == "logits":
            t = settings.get("temperature", 1.0)
            log_p, log_q = ((side["logits"].double() / t).log_softmax(-1)[target_valid] for side in (theirs, ours))
            if draws:
                total += draws.loss(log_p, log_q)
            elif settings.get("logits") is not False:
                total += t**2 * (log_p.exp() * (log_p - log_q)).sum(-1).mean()
        else:
            valid = {"encoder": input_valid, "decoder": target_valid}
            inverse_temperature = next(found for name, found in temperatures.items() if name.startswith(term))
            pairs = [(kind, kind, kind) for kind in SELF]
            if term == "decoder.cross" and settings.get("cross_relation", "qk") == "qk":
                pairs = [("query_key", "query", "key")]
            kls = [
                naive_relation(
                    theirs[term], ours[term], left, right, term, valid, inverse_temperature[kind], causal, padding
                )
                for kind, left, right in pairs
            ]
            total += sum(kls) / len(kls)
    return total


def padded(rows):
    """[B, longest] filled up with 0, and which places are real."""
    length = max(map(len, rows))
    ids = torch.tensor([list(map(int, row)) + [0] * (length - len(row)) for row in rows])
    valid = torch.tensor([[place < len(row) for place in range(length)] for row in rows])
    return ids, valid


def run_with_hooks(model, feed):
    """Logits, and what the q, k and v linears of the last layers give."""
    last = model.decoder.block[-1].layer
    modules = {
        "encoder.self": model.encoder.block[-1].layer[0].SelfAttention,
        "decoder.self": last[0].SelfAttention,
        "decoder.cross": last[1].EncDecAttention,
    }
    found, hooks = {name: {} for name in modules}, []
    for name, module in modules.items():
        for kind, linear in zip(SELF, (module.q, module.k, module.v), strict=True):

            def keep(_module, _inputs, output, name=name, kind=kind):
                found[name][kind] = output

            hooks.append(linear.register_forward_hook(keep))
    found["logits"] = model(**feed, use_cache=False).logits
    for hook in hooks:
        hook.remove()
    return found


def naive_relation(theirs, ours, left, right, site, valid, inverse_temperature, causal, padding):
    """Mean over valid rows and relation heads of KL(P_teacher || P_student)."""
    on_target = {
        "query": site != "encoder.self",
        "key": site == "decoder.self",
        "value": site == "decoder.self",
    }
    rows, keys = (valid["decoder" if on_target[side] else "encoder"] for side in (left, right))
    visible = (keys if padding else torch.ones_like(keys))[:, None, :].expand(-1, rows.shape[1], -1)
    if causal and on_target[left] and on_target[right]:
        visible = visible & torch.ones(rows.shape[1], rows.shape[1]).tril().bool()
    log_p, log_q = (relation(side[left], side[right], inverse_temperature, visible[:, None]) for side in (theirs, ours))
    per_row = torch.where(visible[:, None], log_p.exp() * (log_p - log_q), 0.0).sum(-1)
    return sum(per_row[:, head][rows].mean() for head in range(HEADS)) / HEADS


def relation(a, c, inverse_temperature, visible):
    """log softmax(alpha a c^T / sqrt(d_r)) of every relation head over the visible keys; others hold -1e9."""
    width = a.shape[-1] // HEADS
    a, c = (torch.stack(side.double().split(width, dim=-1), dim=1) for side in (a, c))
    scores = inverse_temperature * torch.einsum("bhid,bhjd->bhij", a, c) / math.sqrt(width)
    return scores.masked_fill(~visible, -1e9).log_softmax(-1)


def furthest(lines, losses):
    """The largest relative difference of the loss over the steps."""
    return max(abs(line["loss"] - loss) / abs(loss) for line, loss in zip(lines, losses, strict=False))


@pytest.mark.parametrize(
    "run", [pytest.param(run, marks=pytest.mark.slow) if run in SUMS_OF_OTHERS else run for run in RUNS]
)
def test_a_student_of_the_cache_follows_the_student_of_the_live_teacher(home, run):
    """A wrong mask, temperature, pairing or normalizer still trains, to another student than the one that was asked for."""
    lines, weights = offline(home, run)
    losses, student = online(home, run)
    assert furthest(lines, losses) < WITHIN
    assert losses[-1] < 0.95 * losses[0], "a loss that hardly moves would make the comparison empty"
    start = fresh_student(miniend.open_cache(home / cache_of(run))).state_dict()
    for name, ours in student.state_dict().items():
        moved = (ours - start[name]).norm()
        assert (weights.get(name, ours) - ours).norm() <= 0.02 * moved + 1e-7, name


MISTAKES = {
    "temperature": ("d by qk", {"inverse_temperature": 1.0}),
    "temperature of the encoder": ("e without logits", {"inverse_temperature": 1.0}),
    "no causal mask": ("minilm", {"causal": False}),
    "padding is seen by cross-attention": ("d by qk without logits", {"padding": False}),
    "other draws": ("logits hybrid", {"draw_seed": 1}),
    "padding is seen by the encoder": ("e without logits", {"padding": False}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_comparison_finds_a_wrong_temperature_mask_or_draw(home, mistake):
    """A comparison that nothing can fail proves nothing."""
    run, wrong = MISTAKES[mistake]
    lines, _ = offline(home, run)
    losses, _ = online(home, run, steps=3, **wrong)
    assert furthest(lines, losses) > 10 * WITHIN


def test_the_temperatures_of_this_cache_are_not_one(home):
    """With the published temperature everywhere, the inverse temperature could be left out unnoticed."""
    for codec in miniend.open_cache(home / "cache").codecs.values():
        assert min(codec.inverse_temperature.values()) >= 1.0
        assert max(codec.inverse_temperature.values()) > 2.0


def test_this_file_uses_none_of_the_losses_that_it_judges():
    """A formula that both sides share agrees with itself."""
    tree = ast.parse(Path(__file__).read_text())
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in imported if name.startswith("miniend.signals") or name.endswith("distillation")]
