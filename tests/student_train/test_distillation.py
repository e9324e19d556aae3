"""The objectives' terms, held against float64 formulas written here from their definitions, and what they must not depend on."""

import copy
import math
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import miniend
from miniend.errors import ConfigurationError
from miniend.models.families import SpecialIds
from miniend.models.families.t5 import shift_right
from miniend.models.start.fresh import build_student
from miniend.student_train.distillation import Distillation
from miniend.student_train.reading.batch import Batch
from miniend.student_train.reading.teacher_signals import TeacherSignals
from miniend.student_train.terms.labels import Labels
from miniend.student_train.terms.relations import Relations
from support.batches import batch_of
from support.setups import OBJECTIVES, set_up_named, sums_of

SELF = ("query", "key", "value")
HEADS = 4
EACH = pytest.mark.parametrize("name", OBJECTIVES)
SITE_OF = {"decoder_self": "decoder.self", "encoder_self": "encoder.self", "cross": "decoder.cross"}


def prepare(cache, name, size="2L64H", **settings):
    """A run's parts for an objective of the table; a student to go on from has its own size."""
    if "init" not in settings:
        settings["size"] = size
    return set_up_named(cache, name, **{"relation_heads": HEADS, **settings})


def examples_of(setup, numbers):
    """The batch of these training examples."""
    return batch_of(setup.feed.training, numbers)


def loss_of(setup, batch):
    found = sums_of(setup, batch)
    return setup.distillation.total(found, setup.distillation.counts(batch))


def gradients(model):
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


def naive_terms(student, examples, setup, cache):
    """Every term in float64, example by example and without padding, from what `open_cache` gives back."""
    totals = {term: [] for term in setup.objective.weights}
    parts = {}
    for example in examples:
        ours = naive_forward(student, example)
        labels = torch.from_numpy(example.labels.astype(np.int64))
        log_q = ours["logits"].log_softmax(-1)
        if "labels" in totals:
            totals["labels"] += list(-log_q[torch.arange(len(labels)), labels])
        if "logits" in totals:
            totals["logits"] += [naive_sparse(q, example.logits, i) for i, q in enumerate(log_q)]
        for term in totals:
            if term in SITE_OF:
                theirs = example.relations[SITE_OF[term]]
                codec = next(codec for codec in cache.codecs.values() if codec.site.name == SITE_OF[term])
                for kind, left, right in kinds_of(term, setup.config.cross_relation):
                    causal = term == "decoder_self" or (term, kind) == ("cross", "query")
                    rows = naive_relation(
                        theirs,
                        ours[SITE_OF[term]],
                        left,
                        right,
                        causal=causal,
                        inverse_temperature=codec.inverse_temperature[kind],
                    )
                    parts.setdefault((term, kind), []).append(rows)
    means = {term: torch.stack(values).mean() for term, values in totals.items() if values}
    for term in totals.keys() & SITE_OF.keys():
        of_term = [torch.cat(rows).mean() for (name, _), rows in parts.items() if name == term]
        means[term] = torch.stack(of_term).mean()
    return means


def kinds_of(term, cross_relation):
    if term == "cross" and cross_relation == "qk":
        return [("query_key", "query", "key")]
    return [(kind, kind, kind) for kind in SELF]


def naive_forward(student, example):
    """One unpadded example through plain transformers, with the q, k and v of the last layers."""
    last = student.decoder.block[-1].layer
    modules = {"encoder.self": student.encoder.block[-1].layer[0].SelfAttention}
    modules |= {"decoder.self": last[0].SelfAttention, "decoder.cross": last[1].EncDecAttention}
    found, hooks = {name: {} for name in modules}, []
    for name, module in modules.items():
        for kind, linear in zip(SELF, (module.q, module.k, module.v), strict=True):

            def keep(_module, _inputs, output, name=name, kind=kind):
                found[name][kind] = output[0]

            hooks.append(linear.register_forward_hook(keep))
    inputs = torch.from_numpy(example.input_ids.astype(np.int64))[None]
    started = torch.tensor([[0, *map(int, example.labels[:-1])]])
    found["logits"] = student(input_ids=inputs, decoder_input_ids=started, use_cache=False).logits[0]
    for hook in hooks:
        hook.remove()
    return found


def naive_sparse(log_q, stored, position):
    """KL of the kept outcomes and the tail as one more, for one position; with draws, these instead of the tail.

    Of the tail's own entropy, which has no gradient, only what is added to the loss is missing then.
    """
    head, draw = (slice(*starts[position : position + 2]) for starts in (stored.head_starts, stored.draw_starts))
    ids = torch.from_numpy(stored.head_ids[head].astype(np.int64))
    log_p = torch.from_numpy(stored.head_log_probabilities[head]).double()
    kl = (log_p.exp() * (log_p - log_q[ids])).sum()
    if len(stored.draw_ids):
        weights = torch.from_numpy(stored.draw_weights[draw]).double()
        return kl - (weights * log_q[stored.draw_ids[draw].astype(np.int64)]).sum()
    others = torch.ones(len(log_q), dtype=torch.bool)
    others[ids] = False
    m = 1.0 - log_p.exp().sum()
    return kl + (m * (m.log() - log_q[others].exp().sum().log()) if others.any() else 0.0)


def naive_relation(theirs, ours, left, right, causal, inverse_temperature):
    """KL of every row and relation head of one example, [rows * HEADS]."""
    sides = []
    for a, c in (
        (torch.from_numpy(getattr(theirs, left)).double(), torch.from_numpy(getattr(theirs, right)).double()),
        (ours[left], ours[right]),
    ):
        width = a.shape[1] // HEADS
        scores = [
            inverse_temperature
            * a[:, h * width : (h + 1) * width]
            @ c[:, h * width : (h + 1) * width].T
            / math.sqrt(width)
            for h in range(HEADS)
        ]
        sides.append(scores)
    kls = []
    for t, s in zip(*sides, strict=True):
        for i in range(len(t)):
            log_p, log_q = (scores[i, : i + 1 if causal else None].log_softmax(-1) for scores in (t, s))
            kls.append((log_p.exp() * (log_p - log_q)).sum())
    return torch.stack(kls)


@EACH
def test_every_term_and_its_gradient_are_those_of_the_definition(ragged, name):
    """A wrong mask, normalizer, pairing of heads or factor in a gradient trains smoothly towards something else."""
    numbers = [3, 0, 12, 17, 21]
    setup = prepare(ragged, name, seed=1)
    batch = examples_of(setup, numbers)
    found = sums_of(setup, batch)
    counts = setup.distillation.counts(batch)
    setup.distillation.total(found, counts).backward()
    means = setup.distillation.term_means({part: float(value.detach()) for part, value in found.items()}, counts)

    exact = copy.deepcopy(setup.student).double()
    exact.zero_grad()
    terms = naive_terms(exact, [ragged[i] for i in numbers], setup, ragged)
    sum(setup.objective.weights[term] * value for term, value in terms.items()).backward()

    assert set(means) == set(terms)
    for term, value in terms.items():
        assert means[term] == pytest.approx(value.item(), rel=2e-5), term
        assert value.item() > 1e-4, "a term of nothing would agree with anything"
    expected = gradients(exact)
    scale = max(float(gradient.norm()) for gradient in expected.values() if gradient is not None)
    for parameter, gradient in gradients(setup.student).items():
        if gradient is None:
            assert expected[parameter] is None or not expected[parameter].any(), parameter
        else:
            difference = (gradient.double() - expected[parameter]).norm()
            assert difference <= 1e-3 * expected[parameter].norm() + 1e-6 * scale, parameter


@pytest.mark.parametrize("kind", ["top-k", "sampled", "hybrid"])
def test_every_kind_of_distribution_reaches_the_student(logit_caches, kind):
    """Between column, batch, decoder and loss a position's list must stay beside its own logits."""
    cache, numbers = logit_caches[kind], [3, 0, 12, 17, 21]
    setup = prepare(cache, "logits", seed=1)
    batch = examples_of(setup, numbers)
    found = sums_of(setup, batch)["logits"]
    (found / setup.distillation.counts(batch)["logits"]).backward()
    exact = copy.deepcopy(setup.student).double()
    exact.zero_grad()
    loss = naive_terms(exact, [cache[i] for i in numbers], setup, cache)["logits"]
    loss.backward()
    entropy = cache.logit_code.decode(batch.logits).tail_entropy.sum()
    assert float(found.detach() + entropy) == pytest.approx(
        loss.item() * setup.distillation.counts(batch)["logits"], rel=2e-5
    )
    expected = gradients(exact)
    for parameter, gradient in gradients(setup.student).items():
        difference = (gradient.double() - expected[parameter]).norm()
        assert difference <= 1e-3 * expected[parameter].norm() + 1e-7, parameter


@pytest.mark.parametrize("term", ["labels", "logits", "decoder_self", "encoder_self", "cross"])
def test_a_weight_scales_its_own_term_alone(ragged, term):
    """A weight that lands on another term changes every run that sets one."""
    name = {"labels": "scratch", "encoder_self": "e", "cross": "d by qk"}.get(term, "implicit")
    plain, weighted = prepare(ragged, name), prepare(ragged, name, weight=(f"{term}=3",))
    batch = examples_of(plain, [1, 2])
    found = sums_of(plain, batch)
    sums = {part: float(value.detach()) for part, value in found.items()}
    means = plain.distillation.term_means(sums, plain.distillation.counts(batch))
    assert loss_of(plain, batch).item() == pytest.approx(sum(means.values()), rel=1e-5)
    assert loss_of(weighted, batch).item() == pytest.approx(sum(means.values()) + 2 * means[term], rel=1e-5)


@pytest.mark.parametrize("heads", [1, 4, 8, 16])
@pytest.mark.parametrize("name", ["implicit", "d by qk", "d by qq_kk_vv", "e"])
def test_every_term_is_zero_for_a_student_that_is_its_teacher(lossless_home, name, heads):
    """A term that pulls a perfect student away has another goal than the teacher."""
    cache = miniend.open_cache(lossless_home / "cache")
    setup = prepare(cache, name, init=str(lossless_home / "teacher"), relation_heads=heads)
    batch = examples_of(setup, list(range(10)))
    counts = setup.distillation.counts(batch)
    with torch.no_grad():
        for part, value in sums_of(setup, batch).items():
            assert abs(float(value)) / counts[part] < 1e-6, part
    loss_of(setup, batch).backward()
    own = sum(float(p.grad.square().sum()) for p in setup.student.parameters() if p.grad is not None) ** 0.5
    stranger = prepare(cache, name, seed=3, relation_heads=heads)
    loss_of(stranger, batch).backward()
    other = sum(float(p.grad.square().sum()) for p in stranger.student.parameters() if p.grad is not None) ** 0.5
    assert own < 5e-3 * other


def widened(batch, inputs, targets):
    """The same examples with more padding, and garbage wherever a mask should hide it."""
    generator = torch.Generator().manual_seed(0)

    def grow(tensor, more, filler):
        return torch.cat([tensor, filler(torch.zeros(len(tensor), more, *tensor.shape[2:], dtype=tensor.dtype))], dim=1)

    def garbage(tensor):
        return torch.randint(-40, 40, tensor.shape, generator=generator).to(tensor.dtype)

    more = {"input": inputs, "target": targets}
    coefficients = {}
    for column, block in batch.coefficients.items():
        axis = "target" if "decoder.self" in column or column.endswith(".query") else "input"
        grown = grow(block, more[axis], garbage)
        valid = grow(batch.valid[axis], more[axis], lambda t: t)
        coefficients[column] = torch.where(valid[..., None], grown, garbage(grown))
    return replace(
        batch,
        ids={
            "input": grow(batch.ids["input"], inputs, lambda t: garbage(t).abs() + 3),
            "target": grow(batch.labels, targets, lambda t: t - 100),
        },
        valid={axis: grow(valid, more[axis], lambda t: t) for axis, valid in batch.valid.items()},
        coefficients=coefficients,
    )


@EACH
def test_padding_changes_neither_loss_nor_gradient(ragged, name):
    """Padding that leaks makes the loss of an example depend on its neighbours in the batch."""
    setup = prepare(ragged, name)
    batch = examples_of(setup, [0, 5, 9])
    results = []
    for variant in (batch, widened(batch, 7, 5)):
        setup.student.zero_grad()
        loss = loss_of(setup, variant)
        loss.backward()
        results.append((loss.item(), gradients(setup.student)))
    (plain, ours), (padded, theirs) = results
    assert padded == pytest.approx(plain, rel=1e-5)
    for parameter, gradient in ours.items():
        if gradient is not None:
            assert torch.allclose(
                theirs[parameter], gradient, rtol=1e-3, atol=1e-5 * float(gradient.abs().max()) + 1e-8
            )


@EACH
def test_a_split_into_unequal_micro_batches_changes_nothing(ragged, name):
    """Means of means weigh an example by the company it is in, and accumulation then changes the run."""
    setup = prepare(ragged, name)
    whole = examples_of(setup, [0, 1, 2, 3, 4, 5])
    pieces = [examples_of(setup, numbers) for numbers in ([0], [1, 2, 3, 4], [5])]
    assert len({int(piece.valid["target"].sum()) for piece in pieces}) == 3
    loss_of(setup, whole).backward()
    expected, total = gradients(setup.student), loss_of(setup, whole).item()
    setup.student.zero_grad()
    counted = [setup.distillation.counts(piece) for piece in pieces]
    counts = {part: sum(count[part] for count in counted) for part in counted[0]}
    assert counts == setup.distillation.counts(whole)
    losses = [setup.distillation.total(sums_of(setup, piece), counts) for piece in pieces]
    for loss in losses:
        loss.backward()
    assert sum(loss.item() for loss in losses) == pytest.approx(total, rel=1e-5)
    for parameter, gradient in gradients(setup.student).items():
        if gradient is not None:
            atol = 1e-5 * float(expected[parameter].abs().max()) + 1e-8
            assert torch.allclose(gradient, expected[parameter], rtol=1e-3, atol=atol), parameter


CAUSAL = {"minilm": ("decoder_self", SELF), "d by qq_kk_vv without logits": ("cross", ("query",))}


@pytest.mark.parametrize("name", CAUSAL)
def test_rows_see_no_future_target(ragged, name):
    """A relation that sees the future asks the student for what its decoder cannot know."""
    term, kinds = CAUSAL[name]
    setup = prepare(ragged, name)
    exact = copy.deepcopy(setup.student).double()
    number = max(range(len(ragged)), key=lambda i: len(ragged[i].labels))
    example, batch = ragged[number], examples_of(setup, [number])
    keep = len(example.labels) - 4
    other = example.labels.copy()
    other[keep - 1 :] = (other[keep - 1 :] + 11) % 100 + 3
    cut = with_labels(batch, batch.labels[:, :keep])
    cut.valid["target"] = batch.valid["target"][:, :keep]
    cut = replace(cut, coefficients={c: b[:, :keep] if on_target(c) else b for c, b in batch.coefficients.items()})
    batch = examples_of(setup, [number])
    changed = with_labels(batch, torch.from_numpy(other)[None].long())
    with torch.no_grad():
        for kind in kinds:
            part = f"{term}.{kind}"
            alone = float(sums_of(setup, cut)[part])
            for variant, labels in ((batch, example.labels), (changed, other)):
                ours = naive_forward(exact, with_labels(example, labels))[SITE_OF[term]]
                inverse_temperature = next(
                    codec.inverse_temperature for codec in ragged.codecs.values() if codec.site.name == SITE_OF[term]
                )[kind]
                theirs = teacher_of(setup.distillation, term, variant)
                rows = naive_relation(
                    theirs, ours, kind, kind, causal=True, inverse_temperature=inverse_temperature
                ).reshape(HEADS, -1)
                earlier = float(sums_of(setup, variant)[part]) - float(rows[:, keep:].sum())
                assert earlier == pytest.approx(alone, rel=1e-4), part
                assert float(rows[:, keep:].sum()) > 1e-3
                assert float(rows[:, 0].abs().sum()) == 0.0, "the first row sees itself alone"


def with_labels(of, labels):
    """A batch or an example with other labels."""
    return replace(of, ids={**of.ids, of.label_axis: labels})


def teacher_of(distillation, term, batch):
    """The teacher's factors of a batch of one; a token's mean is part of its row, so they follow the labels."""
    tokens = {"input": batch.ids["input"], "target": shift_right(batch.labels, 0, 0)}
    decoded = distillation.terms[term].codec.decode(batch.coefficients, tokens)
    return SimpleNamespace(**{kind: tensor[0].numpy() for kind, tensor in decoded.items()})


def on_target(column):
    return "decoder.self" in column or column.endswith(".query")


@pytest.mark.parametrize("name", ["minilm", "e without logits", "d by qk without logits"])
def test_the_relation_temperature_enters_teacher_and_student_alike(lossless_home, name):
    """On one side alone it would be a target that no student can reach."""
    cache = miniend.open_cache(lossless_home / "cache")
    same = prepare(cache, name, init=str(lossless_home / "teacher"))
    other = prepare(cache, name, seed=2)
    batch = examples_of(same, [1, 2, 3])
    with torch.no_grad():
        before = loss_of(other, batch).item()
        for setup in (same, other):
            for _, term in setup.distillation.each_term():
                for kind in term.codec.inverse_temperature if isinstance(term, Relations) else ():
                    term.codec.inverse_temperature[kind] *= 1.7
        assert abs(loss_of(same, batch).item()) < 1e-5
        assert loss_of(other, batch).item() > 1.2 * before


@EACH
def test_under_bfloat16_autocast_losses_are_still_computed_in_float32(ragged, name):
    """Eight bits of mantissa lose a relation KL of 1e-3 nats entirely."""
    setup = prepare(ragged, name)
    batch = examples_of(setup, [0, 1, 2, 3])
    with torch.no_grad():
        plain = sums_of(setup, batch)
    with torch.autocast("cpu", torch.bfloat16):
        found = sums_of(setup, batch)
        loss = setup.distillation.total(found, setup.distillation.counts(batch))
    loss.backward()
    for part, value in found.items():
        assert value.dtype == torch.float32
        assert float(value.detach()) == pytest.approx(float(plain[part]), rel=0.1)
    assert all(p.grad.isfinite().all() for p in setup.student.parameters() if p.grad is not None)


FAMILY = {
    "t5, tied": ({"model_type": "t5", "feed_forward_proj": "relu"}, True),
    "t5 v1.1": ({"model_type": "t5", "feed_forward_proj": "gated-gelu"}, False),
    "t5, untied but scaled": ({"model_type": "t5", "scale_decoder_outputs": True}, False),
    "mt5": ({"model_type": "mt5"}, False),
    "mt5, tied": ({"model_type": "mt5"}, True),
    "umt5": ({"model_type": "umt5"}, False),
    "umt5, tied": ({"model_type": "umt5"}, True),
}


@pytest.mark.parametrize("name", FAMILY)
def test_the_loss_is_that_of_the_students_own_logits_in_every_family(name):
    """Only stacks and head are run here, not the model that users will run; a scale forgotten between them trains unnoticed."""
    shape = {
        "vocab_size": 40,
        "d_model": 16,
        "d_kv": 4,
        "d_ff": 32,
        "num_heads": 4,
        "num_layers": 2,
        "num_decoder_layers": 2,
    }
    config, tied = FAMILY[name]
    student = build_student({**config, **shape}, tied, seed=1).train()
    generator = torch.Generator().manual_seed(2)
    inputs, labels = (torch.randint(3, 40, (3, n), generator=generator) for n in (7, 5))
    valid = {
        "input": torch.arange(7) < torch.tensor([[7], [3], [5]]),
        "target": torch.arange(5) < torch.tensor([[2], [5], [4]]),
    }
    ids = {"input": inputs, "target": labels.masked_fill(~valid["target"], -100)}
    batch = Batch(ids, valid, "target", {}, None, (0, 1, 2))
    distillation = Distillation(student, {"labels": Labels()}, {"labels": 1.0}, SpecialIds(start=0, pad=0))
    for autocast in (False, True):
        found, expected = [], []
        for results in (found, expected):
            student.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                if results is found:
                    loss = distillation(batch, TeacherSignals({}, {}))["labels"]
                else:
                    asked = {"input_ids": inputs, "attention_mask": valid["input"].long(), "use_cache": False}
                    logits = student(**asked, decoder_input_ids=shift_right(batch.labels, 0, 0)).logits.float()
                    loss = torch.nn.functional.cross_entropy(
                        logits.flatten(0, 1), batch.labels.flatten(), reduction="sum"
                    )
            loss.backward()
            results += [loss.detach(), *gradients(student).values()]
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours - theirs).norm() <= (2e-2 if autocast else 1e-5) * theirs.norm()


LAST = "decoder.block.1.layer"
BEHIND_FACTORS = {f"{LAST}.0.SelfAttention.o.weight"}
CROSS = {f"{LAST}.1.EncDecAttention.{part}.weight" for part in "qkvo"} | {f"{LAST}.1.layer_norm.weight"}
FEED_FORWARD = {f"{LAST}.2.DenseReluDense.{part}.weight" for part in ("wi_0", "wi_1", "wo")}
FEED_FORWARD |= {f"{LAST}.2.layer_norm.weight", "decoder.final_layer_norm.weight", "lm_head.weight"}
BEHIND_CROSS = {f"{LAST}.1.EncDecAttention.o.weight"} | FEED_FORWARD
UNREACHED = {
    "minilm": BEHIND_FACTORS | CROSS | FEED_FORWARD,
    "e without logits": BEHIND_FACTORS | CROSS | FEED_FORWARD,
    "d by qq_kk_vv without logits": BEHIND_CROSS,
    "d by qk without logits": BEHIND_CROSS | {f"{LAST}.1.EncDecAttention.v.weight"},
}


def unreached(setup):
    """The names in the student of what the objective does not reach; nothing else can be unreached."""
    assert all(name.startswith("student.") for name in setup.unreached)
    return {name.removeprefix("student.") for name in setup.unreached}


@EACH
def test_unreached_parameters_are_those_of_the_methods_table(ragged, name):
    """METHODS.md 3.6: a parameter frozen by mistake never learns; one trained by mistake decays towards zero."""
    setup = prepare(ragged, name)
    assert unreached(setup) == UNREACHED.get(name, set())
    frozen = {parameter for parameter, p in setup.student.named_parameters() if not p.requires_grad}
    assert frozen == unreached(setup)
    optimized = {id(p) for group in setup.optimizer.param_groups for p in group["params"]}
    assert optimized == {id(p) for p in setup.student.parameters() if p.requires_grad}


@EACH
def test_a_tied_head_is_never_frozen(lossless_home, name):
    """It is the input embedding, which every objective reaches; the rest of the table stays."""
    setup = prepare(miniend.open_cache(lossless_home / "cache"), name)
    ungated = {f"{LAST}.2.DenseReluDense.{part}.weight" for part in ("wi_0", "wi_1")}
    expected = UNREACHED.get(name, set()) - {"lm_head.weight"}
    if expected & ungated:
        expected = expected - ungated | {f"{LAST}.2.DenseReluDense.wi.weight"}
    assert unreached(setup) == expected


@EACH
def test_umt5_leaves_its_last_position_biases_out_too(umt5_home, name):
    """umT5 has a bias in every layer; that of a last self-attention only enters behind Q, K and V."""
    setup = prepare(miniend.open_cache(umt5_home / "cache"), name)
    expected = set(UNREACHED.get(name, set()))
    if name in ("minilm", "e without logits"):
        expected.add(f"{LAST}.0.SelfAttention.relative_attention_bias.weight")
    assert unreached(setup) == expected


def test_the_encoder_of_an_explicit_objective_is_trained_to_its_end(ragged):
    """Without the logits, the encoder's last output reaches the loss through the decoder's layers before the last."""
    for name in ("e without logits", "d by qk without logits", "minilm"):
        setup = prepare(ragged, name)
        loss_of(setup, examples_of(setup, [0, 1, 2])).backward()
        encoder = {n: p for n, p in setup.student.named_parameters() if n.startswith("encoder.")}
        assert all(p.grad is not None and p.grad.any() for p in encoder.values())


def test_a_batch_keeps_its_parts_when_it_is_moved(ragged):
    """A part left behind on another device fails only on a GPU."""
    batch = examples_of(prepare(ragged, "d by qk"), [0, 1])
    moved = batch.to(torch.device("meta"))
    tensors = [*moved.ids.values(), *moved.valid.values(), *moved.coefficients.values()]
    tensors += [getattr(moved.logits, field.name) for field in fields(moved.logits)]
    assert all(tensor.device.type == "meta" for tensor in tensors)
    assert (set(moved.ids), set(moved.coefficients)) == (set(batch.ids), set(batch.coefficients))


@pytest.mark.parametrize("counts", [None, {}, {"x": 3}, {"": 3.0}, {"": -1}, {"": torch.tensor(3)}])
def test_counts_that_a_term_got_wrong_name_the_term(ragged, monkeypatch, counts):
    """A negative count would train the student away from its teacher, and report a falling loss."""
    setup = prepare(ragged, "scratch")
    batch = examples_of(setup, [0, 1])
    monkeypatch.setattr(Labels, "counts", lambda _self, _batch: counts)
    with pytest.raises(ConfigurationError, match="loss term labels: `counts` should return an integer for each"):
        setup.distillation.counts(batch)


@pytest.mark.parametrize(
    "sums", [None, {}, {"x": torch.tensor(1.0)}, {"query": torch.ones(1), "key": 1.0, "value": None}]
)
def test_sums_that_a_term_got_wrong_name_the_term(ragged, monkeypatch, sums):
    """A part that nobody asked for, a NaN in it included, would be dropped without a word."""
    setup = prepare(ragged, "minilm")
    batch = examples_of(setup, [0, 1])
    monkeypatch.setattr(Relations, "sums", lambda *_arguments: sums)
    with pytest.raises(
        ConfigurationError, match="loss term decoder_self: `sums` should return a scalar tensor for each"
    ):
        loss_of(setup, batch)
