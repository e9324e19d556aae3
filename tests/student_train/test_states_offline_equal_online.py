"""Training on states from a cache follows, step by step, training beside the live teacher: all layer maps, Q, K and V, filters.

The other side is written here from the papers' definitions, with plain transformers forwards and hooks: it imports neither the
package's signals nor its losses, and its optimizer is torch's own. Shared are the first weights of student and maps, and the
order of the examples. The energies and means of the other side are the live teacher's own.
"""

import ast
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM

import miniend
from miniend.student_train.config import TrainConfig
from miniend.student_train.objective import OBJECTIVES, spec
from miniend.student_train.reading.loader import BatchSource, Columns, steps
from miniend.student_train.train import train_student
from support.filtering import filtered_copy
from support.setups import set_up_alone

STEPS, BATCH, SIZE = 50, 4, "2L64H"
LEARNING_RATE, WARMUP, WEIGHT_DECAY, CLIP = 1e-3, 5, 0.01, 1.0
WITHIN = 1e-4
KINDS = ("query", "key", "value")
LAYERS = {
    "last": [(2, 4)],
    "uniform": [(1, 2), (2, 4)],
    "last-k": [(1, 3), (2, 4)],
    "all": [(1, 1), (2, 2), (3, 3), (4, 4)],
    "consecutive": [(1, 1), (1, 2), (2, 3), (2, 4)],
    "uniform+last": [(1, 2), (1, 3), (2, 4), (2, 4)],
}
"""Pairs (student layer, teacher layer), from 1, of two layers and four; of four and four for `all`."""
RUNS = {
    **{f"hidden by {name}": {"mapping": name} for name in LAYERS},
    "hidden as published": {"mapping": "uniform", "hidden_norm": "none", "hidden_scale": "mean"},
    "direct": {"objective": "direct"},
    "direct by heads": {"objective": "direct", "direct_heads": 4},
    "filtered": {"objective": "filtered-alone", "mapping": "uniform"},
}
ORDINARY = ("hidden by uniform+last",)
"""The run that has most of what the others have, in the same code."""


@pytest.fixture(scope="module")
def home(layers_home, tmp_path_factory):
    """The states of all layers, with filters; and an objective of TED's own terms alone."""
    terms = tuple(spec("filtered", f"{stack}_filtered", site=f"{stack}.hidden") for stack in ("encoder", "decoder"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(OBJECTIVES._entries, "filtered-alone", terms)  # other tests compare the registry with its page
        yield filtered_copy(layers_home, tmp_path_factory.mktemp("online"))


def settings_of(run):
    size = "4L64H" if "all" in run else SIZE
    return {"objective": "hidden", "size": size, **RUNS[run]}


def config(home, output, run):
    optimizer = {
        "optimizer": "adamw",
        "learning_rate": LEARNING_RATE,
        "warmup_steps": WARMUP,
        "weight_decay": WEIGHT_DECAY,
        "max_grad_norm": CLIP,
    }
    shared = {"cache": home / "cache", "output": output, "steps": STEPS, "batch_size": BATCH, "log_every": 1}
    return TrainConfig(**shared, device="cpu", **optimizer, **settings_of(run))


def offline(home, run):
    """The product's own run: its lines of metrics.jsonl, its weights and its maps, computed once per run."""
    output = home / run.replace(" ", "-")
    if not output.exists():
        train_student(config(home, output, run), log=lambda _line: None)
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    return lines, load_file(output / "model.safetensors"), load_file(output / "projections.safetensors")


class Online:
    """The same student and maps beside the live teacher. The arguments are the mistakes that the comparison has to find."""

    def __init__(self, home, run, offset=0, centred=True, padding=False):
        self.cache, self.settings = miniend.open_cache(home / "cache"), settings_of(run)
        self.offset, self.centred, self.padding = offset, centred, padding
        self.teacher = AutoModelForSeq2SeqLM.from_pretrained(home / "teacher").eval()
        setup = set_up_alone(config(home, home / "unused", run), self.cache)
        self.student = setup.student
        self.maps = {name: one.detach().clone() for name, one in setup.distillation.terms.named_parameters()}
        self.targets = self._measured()
        for name in self.maps:
            if name.endswith("bias"):
                mean, energy = self.targets[self._target(name)]
                size = float(mean.norm()) + energy**0.5  # filtered states have a mean near zero
                assert torch.allclose(self.maps[name].double(), mean, rtol=1e-3, atol=1e-3 * size), name
            self.maps[name] = torch.nn.Parameter(self.maps[name])

    def _target(self, name):
        term, _, key, _ = name.split(".")
        if key in KINDS:
            return term.partition("_")[0], 4, key
        return term.partition("_")[0], int(key.split("-")[1]), "hidden"

    def normed(self, rows):
        if self.settings["objective"] == "direct" or self.settings.get("hidden_norm") == "none":
            return rows
        return rows / (rows.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    def seen(self, rows, name):
        """What a student is compared with: the teacher's rows, normed, and filtered for TED."""
        rows = self.normed(rows)
        if self.settings["objective"] != "filtered-alone":
            return rows
        one = self.cache.filters.get(f"{name[0]}.hidden@{name[1] - 1}")
        return rows @ one.weight.double().T + one.bias.double() if name[2] == "hidden" else rows

    def _measured(self):
        """Mean and energy of every tensor of the live teacher over all training examples."""
        rows = {}
        for number in range(len(self.cache)):
            with torch.no_grad():
                found, _ = self.both(self.teacher, [self.cache[number]])
            for name, tensor in found.items():
                rows.setdefault(name, []).append(self.seen(tensor[0].double(), name))
        found = {}
        for name, parts in rows.items():
            y = torch.cat(parts)
            mean = y.mean(0)
            about = mean if self.centred else torch.zeros_like(mean)
            found[name] = mean, float((y - about).square().sum(1).mean())
        return found

    def both(self, model, examples):
        """What the blocks and the last self-attentions give, by (stack, layer from 1, tensor), and which positions are real."""
        inputs, input_valid = padded([example.input_ids for example in examples])
        labels, target_valid = padded([example.labels for example in examples])
        started = torch.cat([torch.zeros_like(labels[:, :1]), labels[:, :-1]], dim=1)
        found, hooks = {}, []

        def kept(module, name):
            def keep(_module, _inputs, output):
                found[name] = output[0] if isinstance(output, tuple) else output

            hooks.append(module.register_forward_hook(keep))

        for name, stack in (("encoder", model.encoder), ("decoder", model.decoder)):
            for layer, block in enumerate(stack.block, start=1):
                kept(block, (name, layer, "hidden"))
                attention = block.layer[0].SelfAttention
                for kind, linear in zip(KINDS, (attention.q, attention.k, attention.v), strict=True):
                    kept(linear, (name, layer, kind))
        model(input_ids=inputs, attention_mask=input_valid.long(), decoder_input_ids=started, use_cache=False)
        for hook in hooks:
            hook.remove()
        return found, {"encoder": input_valid, "decoder": target_valid}

    def loss(self, examples):
        with torch.no_grad():
            theirs, _ = self.both(self.teacher, examples)
        ours, valid = self.both(self.student, examples)
        total = 0.0
        for stack in ("encoder", "decoder"):
            mask = torch.ones_like(valid[stack]) if self.padding else valid[stack]
            pairs = self.pairs(stack)
            for own, other, name in pairs:
                x, y = self.normed(ours[own][mask].double()), self.seen(theirs[other][mask].double(), other)
                mean, energy = self.targets[other]
                divisor = len(mean) if self.settings.get("hidden_scale") == "mean" else energy
                weight, bias = self.maps[f"{name}.weight"].double(), self.maps[f"{name}.bias"].double()
                weight = torch.block_diag(*weight) if weight.ndim == 3 else weight
                total = total + (x @ weight.T + bias - y).square().sum(1).mean() / divisor / len(pairs)
        return total

    def pairs(self, stack):
        """(student's tensor, teacher's tensor, name of the map)."""
        if self.settings["objective"] == "direct":
            depth = len(self.student.encoder.block)
            return [((stack, depth, kind), (stack, 4, kind), f"{stack}_direct.maps.{kind}") for kind in KINDS]
        named, found = set(), []
        for own, other in LAYERS[self.settings["mapping"]]:
            name = f"{own}-{other}" + ("-again" if (own, other) in named else "")
            named.add((own, other))
            taught = max(1, other - self.offset)
            term = "filtered" if self.settings["objective"] == "filtered-alone" else "hidden"
            found.append(((stack, own, "hidden"), (stack, taught, "hidden"), f"{stack}_{term}.maps.{name}"))
        return found

    def train(self, count=STEPS):
        parameters = [*self.student.parameters(), *self.maps.values()]
        groups = [[p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim == 1]]
        adam = torch.optim.AdamW(
            [{"params": groups[0], "weight_decay": WEIGHT_DECAY}, {"params": groups[1], "weight_decay": 0.0}],
            lr=LEARNING_RATE,
        )
        losses, self.student = [], self.student.train()
        for step, numbers in zip(range(1, count + 1), batches(self.cache), strict=False):
            loss = self.loss([self.cache[number] for number in numbers])
            loss.backward()
            torch.nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], CLIP)
            for group in adam.param_groups:
                group["lr"] = LEARNING_RATE * (
                    step / WARMUP if step <= WARMUP else 1 - (step - 1 - WARMUP) / (STEPS - WARMUP)
                )
            adam.step()
            adam.zero_grad()
            losses.append(loss.item())
        return losses


def batches(cache):
    """Lists of numbers of examples in the loader's order, endless."""
    for (batch,) in steps(BatchSource(cache.training, Columns(cache.family), 0), BATCH, 0, 0):
        yield list(batch.examples)


def padded(rows):
    """[B, longest] filled up with 0, and which places are real."""
    length = max(map(len, rows))
    ids = torch.tensor([list(map(int, row)) + [0] * (length - len(row)) for row in rows])
    valid = torch.tensor([[place < len(row) for place in range(length)] for row in rows])
    return ids, valid


def furthest(lines, losses):
    """The largest relative difference of the loss over the steps."""
    return max(abs(line["loss"] - loss) / abs(loss) for line, loss in zip(lines, losses, strict=False))


@pytest.mark.parametrize("run", [run if run in ORDINARY else pytest.param(run, marks=pytest.mark.slow) for run in RUNS])
def test_a_student_of_cached_states_follows_the_student_of_the_live_teacher(home, run):
    """A wrong layer, energy, mask or transpose still trains, to another student than the one that was asked for."""
    lines, weights, maps = offline(home, run)
    online = Online(home, run)
    losses = online.train()
    assert furthest(lines, losses) < WITHIN
    assert losses[-1] < 0.9 * losses[0], "a loss that hardly moves would make the comparison empty"
    for name, ours in {**online.student.state_dict(), **online.maps}.items():
        theirs = {**weights, **maps}.get(name)
        if theirs is not None:
            assert (theirs - ours).norm() <= 0.02 * ours.norm() + 1e-7, name


MISTAKES = {
    "the layer below": {"offset": 1},
    "an energy about zero": {"centred": False},
    "padding counts": {"padding": True},
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_comparison_finds_a_wrong_layer_energy_or_mask(home, mistake):
    """A comparison that nothing can fail proves nothing."""
    run = "hidden by uniform+last"
    lines, _, _ = offline(home, run)
    assert furthest(lines, Online(home, run, **MISTAKES[mistake]).train(3)) > 10 * WITHIN


def test_this_file_uses_none_of_the_losses_that_it_judges():
    """A formula that both sides share agrees with itself."""
    tree = ast.parse(Path(__file__).read_text())
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in imported if name.startswith("miniend.signals") or name.endswith("distillation")]
