"""DirectMiniLM: Q, K and V themselves, each over its own energy, through maps that may be cut into heads."""

from dataclasses import replace

import pytest
import torch

from miniend.errors import CacheMismatchError, ConfigurationError
from miniend.storage.documents.measured import Spread
from miniend.student_train.config import TrainConfig
from miniend.student_train.reading.loader import in_order
from miniend.student_train.reading.teacher_signals import TeacherSignals
from miniend.student_train.run.setup import open_feed, set_up
from support.setups import CPU, learner_of, set_up_alone, sums_of, terms_of

SIZE, KINDS = "2L64H", ("query", "key", "value")
SITES = {"encoder_direct": "encoder.self", "decoder_direct": "decoder.self"}


def prepare(cache, size=SIZE, **settings):
    settings = {"objective": "direct", "device": "cpu", "size": None if "init" in settings else size, **settings}
    return set_up_alone(TrainConfig(cache=cache.path, output=cache.path.local / "unused", **settings), cache)


def all_of(setup):
    return next(in_order(setup.feed.training, setup.feed.training.layout.total))


def last_self_attentions(setup, batch):
    """Q, K and V of the student's last self-attentions, from hooks of this test's own."""
    student, kept, hooks = setup.student, {}, []
    for name, stack in (("encoder", student.encoder), ("decoder", student.decoder)):
        attention = stack.block[-1].layer[0].SelfAttention
        for kind, linear in zip(KINDS, (attention.q, attention.k, attention.v), strict=True):

            def keep(_module, _inputs, output, site=f"{name}.self", kind=kind):
                kept.setdefault(site, {})[kind] = output

            hooks.append(linear.register_forward_hook(keep))
    with torch.no_grad():
        setup.distillation.family.run(
            student, setup.distillation.family.given(batch.ids, setup.distillation.special), batch.valid
        )
    for hook in hooks:
        hook.remove()
    return kept


@pytest.mark.parametrize("blocks", [None, 4])
def test_every_part_is_the_error_of_its_definition(layers, blocks):
    """A wrong transpose of a block, or one energy for all three kinds, still trains."""
    setup = prepare(layers, direct_heads=blocks)
    batch = all_of(setup)
    ours, theirs = last_self_attentions(setup, batch), setup.feed.decoder.decode(batch).sites
    with torch.no_grad():
        found = sums_of(setup, batch)
    for name, site in SITES.items():
        valid = batch.valid["input" if name.startswith("encoder") else "target"]
        for kind in KINDS:
            learned = setup.distillation.terms[name].maps[kind]
            x, y = (side[valid].double() for side in (ours[site][kind], theirs[f"{site}@3"][kind]))
            energy = (y - y.mean(0)).square().sum() / len(y)
            heads = blocks or 1
            weight = learned.weight.detach().double().reshape(heads, 48 // heads, 64 // heads)
            mapped = torch.cat([x.chunk(heads, -1)[head] @ weight[head].T for head in range(heads)], -1)
            value = (mapped + learned.bias.detach().double() - y).square().sum() / energy
            assert found[f"{name}.{kind}"].item() == pytest.approx(float(value), rel=1e-4), (name, kind)


def test_a_student_that_is_its_teacher_has_no_error_through_the_identity(layers, layers_home):
    """The map is learned at equal widths too, because attention does not fix Q and K."""
    setup = prepare(layers, init=str(layers_home / "teacher"))
    batch = all_of(setup)
    with torch.no_grad():
        for term in setup.distillation.terms.values():
            for learned in term.maps.values():
                learned.weight.copy_(torch.eye(48))
                learned.bias.zero_()
        live = {f"{site}@3": tensors for site, tensors in last_self_attentions(setup, batch).items()}
        exact = setup.distillation(batch, TeacherSignals(live, {}))
        cached = sums_of(setup, batch)
    counts = setup.distillation.counts(batch)
    assert all(value.item() / counts[name] < 1e-10 for name, value in exact.items())
    assert all(0 < value.item() / counts[name] < 1e-4 for name, value in cached.items())


def test_values_of_ten_times_the_scale_count_alike(layers):
    """A T5's values are larger than its queries; an unscaled sum is a loss on values."""
    setup = prepare(layers)
    codecs, batch = setup.feed.decoder._codecs, all_of(setup)
    before = {name: value.item() for name, value in sums_of(setup, batch).items()}
    site = "encoder.self@3"
    code = codecs[site].codes["query_key_value"]
    factor = torch.ones(3, 48)
    factor[2] = 10
    larger = replace(code, mean=code.mean * factor.flatten(), synthesis=code.synthesis * factor.flatten())
    codecs[site] = codecs[site].replaced({"query_key_value": larger})
    term = setup.distillation.terms["encoder_direct"]
    with torch.no_grad():
        term.metric[2] /= 100
        for parameter in term.maps["value"].parameters():
            parameter.mul_(10)
    after = {name: value.item() for name, value in sums_of(setup, batch).items()}
    assert after == pytest.approx(before, rel=1e-4)


def test_blocks_that_do_not_divide_both_widths_are_refused(layers):
    with pytest.raises(
        ConfigurationError, match=r"--direct-heads 5: expected a number that divides .* 64 of the .* 48 of"
    ):
        terms_of(layers, "direct", size=SIZE, direct_heads=5)


@pytest.mark.parametrize(("error", "warned"), [(1e-2, False), (5e-2, True), (2e-1, None)])
def test_the_cache_s_own_error_of_q_k_and_v_is_said_or_refused(layers, monkeypatch, error, warned):
    """Its code is made for relations; a large error here would be learned as if it were the teacher."""
    measured = {
        f"{kind}_{what}": Spread(total=total, count=1)
        for kind in KINDS
        for what, total in (("squared_error", error if kind == "query" else 1e-3), ("energy", 1.0))
    }
    site = "decoder.self@3"
    fidelity = {**layers.calibration.fidelity, site: {**layers.calibration.fidelity[site], **measured}}
    monkeypatch.setattr(layers, "calibration", replace(layers.calibration, fidelity=fidelity))
    if warned is None:
        with pytest.raises(
            CacheMismatchError, match=r"of decoder.self@3 is query 2.0e-01, .* above 0.1; dump with a smaller"
        ):
            terms_of(layers, "direct", size=SIZE)
        return
    terms = terms_of(layers, "direct", size=SIZE)
    assert bool(terms["decoder_direct"].warnings) is warned
    assert not terms["encoder_direct"].warnings
    assert terms["decoder_direct"].limits()["query"] == pytest.approx(20 * error)


@pytest.mark.parametrize("objective", ["direct", "minilm", "miniend-e"])
@pytest.mark.parametrize("layer", ["2", "-2"])
def test_another_stored_layer_of_the_teacher_can_teach(layers, objective, layer):
    """The best layer of a teacher is often not its last."""
    terms = terms_of(layers, objective, size=SIZE, relation_heads=4, teacher_layer=(f"decoder.self={layer}",))
    against = {term.against() for name, term in terms.items() if name.startswith("decoder")}
    assert against == {"decoder.self@2"}
    others = {term.against() for name, term in terms.items() if name.startswith("encoder")}
    assert others <= {"encoder.self@3"}


@pytest.mark.parametrize(
    ("layer", "error", "said"),
    [
        (
            "decoder.self=1",
            CacheMismatchError,
            r"is decoder.self@1, but of decoder.self, .* holds decoder.self@2, decoder.self@3",
        ),
        (
            "decoder.self=4",
            ConfigurationError,
            "has 4 layers there, so 0 to 3 or -4 to -1; .* holds decoder.self@2, decoder.self@3",
        ),
        ("decoder.self=-5", ConfigurationError, "has 4 layers there, so 0 to 3 or -4 to -1"),
    ],
)
def test_a_layer_that_cannot_teach_is_refused_with_those_that_can(layers, layer, error, said):
    with pytest.raises(error, match=said):
        terms_of(layers, "minilm", size=SIZE, relation_heads=4, teacher_layer=(layer,))


@pytest.mark.parametrize(
    "items",
    [("decoder.self",), ("decoder.self=x",), ("=1",), ("decoder.self@1",), ("decoder.self=1", "decoder.self=2")],
)
def test_a_layer_that_cannot_be_read_is_refused_before_anything_is_opened(items):
    with pytest.raises(ConfigurationError, match="--teacher-layer"):
        TrainConfig(cache="nowhere", output="nowhere", teacher_layer=items)


def test_a_layer_of_a_site_that_no_term_reads_is_said(layers):
    """Ignored in silence, it would look as if it had been used."""
    lines = []
    config = TrainConfig(
        cache=layers.path,
        output="unused",
        objective="scratch",
        size=SIZE,
        device="cpu",
        teacher_layer=("decoder.self=3",),
    )
    learner = learner_of(config, layers)
    set_up(learner, open_feed(layers, [learner.terms], CPU), lines.append)
    assert "  warning: --teacher-layer names a layer of decoder.self, which no term of this objective reads" in lines
