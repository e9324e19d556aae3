"""The sandwich: every candidate computes what its own checkpoint would, and their gradients meet in one set of weights."""

import shutil

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

import miniend
from miniend.errors import ConfigurationError, RunMismatchError
from miniend.models.families import family_of
from miniend.models.pruning.prefix import cut_model, prefix_slices
from miniend.models.pruning.widths import Widths
from miniend.student_train import train
from miniend.student_train.config import SandwichConfig, TrainConfig
from miniend.student_train.distillation import Distillation
from miniend.student_train.reading.loader import in_order
from miniend.student_train.run.processes import Processes
from miniend.student_train.run.student_run import StudentRun
from miniend.student_train.run.validation import evaluate
from miniend.student_train.sandwich import Sandwich
from miniend.student_train.train import train_step, train_students
from support.runs import RUN, metrics, same_weights
from support.setups import set_up_alone

KEEPS = (0.8, 0.6, 0.3)
"""3, 2 and 1 of 4 heads."""
SETTINGS = {name: value for name, value in RUN.items() if name not in ("size", "relation_heads")}


def quiet(_line):
    """Says nothing."""


def plain(home, sorted_teacher, output, keep, **settings):
    asked = {**SETTINGS, "init": f"pruned:{sorted_teacher}", "keep": keep, **settings}
    return TrainConfig(cache=home / "cache", output=output, **asked)


def sandwich(home, sorted_teacher, output, keeps=KEEPS, **settings):
    asked = {**SETTINGS, "init": f"pruned:{sorted_teacher}", "keep": keeps[0], "score": "kl", **settings}
    return SandwichConfig(cache=home / "cache", output=output, keeps=keeps, **asked)


@pytest.mark.parametrize("kind", ["span", pytest.param("ragged", marks=pytest.mark.slow)])
def test_a_candidate_has_the_losses_and_gradients_of_its_own_checkpoint(request, kind, tmp_path):
    """Bit for bit, with taps, for tied and for untied and gated models; nothing beyond its prefix gets a gradient."""
    home, sorted_teacher = request.getfixturevalue(f"{kind}_home"), request.getfixturevalue(f"sorted_{kind}")
    cache = miniend.open_cache(home / "cache")
    setup = set_up_alone(sandwich(home, sorted_teacher, tmp_path / "x"), cache)
    master, own = setup.student, setup.distillation
    batch = next(in_order(setup.feed.training, 4))
    teacher, counts = setup.feed.decoder.decode(batch), setup.distillation.counts(batch)
    together, losses = {}, []
    for number, heads in enumerate((3, 2, 1)):
        widths = Widths(heads, 64)
        alone = Distillation(cut_model(master, widths), dict(own.each_term()), own.weights, own.special)
        for name, parameter in alone.named_parameters():
            parameter.requires_grad_(dict(own.named_parameters())[name].requires_grad)
        loss, expected = (own.total(one, counts) for one in (own(batch, teacher, number), alone(batch, teacher)))
        assert torch.equal(loss, expected)
        losses.append(loss.item())
        own.zero_grad()
        loss.backward()
        expected.backward()
        slices = prefix_slices(family_of(master), dict(master.named_parameters()), master.config.d_kv, widths)
        theirs = dict(alone.student.named_parameters())
        for name, parameter in master.named_parameters():
            if theirs[name].grad is None:
                assert parameter.grad is None, name
                continue
            assert torch.equal(parameter.grad[slices[name]], theirs[name].grad), name
            left = parameter.grad.clone()
            left[slices[name]] = 0
            assert not left.any(), name
            together[name] = together.get(name, 0) + parameter.grad / 3
    own.zero_grad()
    processes = Processes("cpu")
    run = StudentRun(setup, processes)
    train_step([run], [batch], processes)
    line = run.state.unlogged
    assert line["loss"] == pytest.approx(sum(losses) / 3, rel=1e-5)
    norm = torch.stack([gradient.norm() for gradient in together.values()]).norm()
    assert line["gradient_norm"] == pytest.approx(float(norm), rel=1e-5), "the gradient of a step is the mean"


def test_a_sandwich_of_one_is_a_student(span_home, sorted_span, tmp_path):
    """Weights, lines of metrics and card, bit for bit."""
    train_students([plain(span_home, sorted_span, tmp_path / "plain", 0.6)], quiet)
    train_students([sandwich(span_home, sorted_span, tmp_path / "one", (0.6,))], quiet)
    assert same_weights(tmp_path / "plain", tmp_path / "one")
    for line, other in zip(metrics(tmp_path / "plain"), metrics(tmp_path / "one"), strict=True):
        assert line == {name: value for name, value in other.items() if ".keep-" not in name}
    shown = metrics(tmp_path / "one")[-1]
    assert shown["validation.keep-0.6.loss"] == shown["validation.loss"]
    with pytest.raises(RunMismatchError, match=r"--keep: there \[0.6\], now None"):
        train_students([plain(span_home, sorted_span, tmp_path / "one", 0.6)], quiet)


def test_the_weights_that_the_smaller_ones_do_not_have_learn_only_from_the_larger(span_home, sorted_span, tmp_path):
    """The metrics have a column for each candidate, and the mean."""
    train_students([sandwich(span_home, sorted_span, tmp_path / "three")], quiet)
    line = metrics(tmp_path / "three")[-1]
    losses = [line[f"validation.keep-{keep}.loss"] for keep in KEEPS]
    assert len(set(losses)) == 3
    assert line["validation.loss"] == pytest.approx(sum(losses) / 3)
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "three")
    assert model.config.num_heads == 3


def test_a_step_draws_the_largest_the_smallest_and_some_between(span_home, sorted_span, tmp_path):
    """The draw depends on seed and step only, so that a resumed run draws the same."""
    cache = miniend.open_cache(span_home / "cache")
    own = set_up_alone(sandwich(span_home, sorted_span, tmp_path / "x"), cache).distillation
    widths = {f"keep-{number}": Widths(1, number) for number in range(9, 1, -1)}
    terms = dict(own.each_term())
    drawing = Sandwich(own.student, terms, own.weights, own.special, widths, (2, 7))
    drawn = [tuple(drawing.candidates_of(step)) for step in range(50)]
    assert drawn == [tuple(drawing.candidates_of(step)) for step in range(50)]
    assert {len(one) for one in drawn} == {4}
    assert {(one[0], one[-1]) for one in drawn} == {(0, 7)}
    assert {number for one in drawn for number in one} == set(range(8))
    assert all(list(one) == sorted(set(one)) for one in drawn)
    assert tuple(own.candidates_of(3)) == (0, 1, 2)
    drawing._sample = 6
    assert len(drawing.candidates_of(0)) == 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "minilm"}, "objective minilm does not train the head, so candidates do not have a score"),
        (
            {"relation_heads": 16},
            r"16 relation heads do not divide .*keep-0.8 24, keep-0.6 16, keep-0.3 8.*: 1, 2, 4, 8",
        ),
        ({"keeps": (0.6, 0.5)}, "keep-0.6 and keep-0.5 both leave 2 heads and 64 neurons"),
    ],
)
def test_candidates_that_cannot_learn_together_are_refused(span_home, sorted_span, tmp_path, settings, message):
    """Before the first step, in one line."""
    cache = miniend.open_cache(span_home / "cache")
    with pytest.raises(ConfigurationError, match=message):
        set_up_alone(sandwich(span_home, sorted_span, tmp_path / "x", **settings), cache)


@pytest.mark.slow
def test_maps_as_wide_as_the_heads_cannot_be_shared(layers_home, tmp_path):
    """A learned map of Q, K and V has the width of one candidate."""
    from support.sorted_teachers import sort_teacher

    folder = sort_teacher(layers_home, tmp_path / "sorted")
    asked = sandwich(layers_home, folder, tmp_path / "x", objective="direct", weight=("logits=1",))
    with pytest.raises(ConfigurationError, match=r"encoder_direct learns maps whose width is that of the heads"):
        set_up_alone(asked, miniend.open_cache(layers_home / "cache"))


@pytest.mark.parametrize("kind", ["span", pytest.param("ragged", marks=pytest.mark.slow)])
def test_accuracy_is_what_transformers_own_logits_say(request, kind, tmp_path):
    """Of tokens for a corpus, of whole targets for pairs."""
    home, sorted_teacher = request.getfixturevalue(f"{kind}_home"), request.getfixturevalue(f"sorted_{kind}")
    cache = miniend.open_cache(home / "cache")
    setup = set_up_alone(sandwich(home, sorted_teacher, tmp_path / "x", (1.0, 0.3), score="accuracy"), cache)
    torch.manual_seed(1)
    with torch.no_grad():  # so that something is right
        for parameter in setup.student.parameters():
            parameter.mul_(1.5)
    means = evaluate([setup], Processes("cpu"))[0]
    right, count = 0, 0
    for batch in in_order(setup.feed.validation, 3):
        valid = batch.valid[batch.label_axis]
        given = cache.family.given(batch.ids, cache.special_ids)
        logits = cache.family.logits(setup.student, given, batch.valid)
        good = (logits.argmax(-1) == batch.labels) | ~valid
        right += int((good & valid).sum()) if kind == "span" else int(good.all(1).sum())
        count += int(valid.sum()) if kind == "span" else len(batch.examples)
    assert means["keep-1.accuracy"] == pytest.approx(right / count)


def test_a_kill_costs_only_the_steps_since_the_last_checkpoint(span_home, sorted_span, tmp_path, monkeypatch):
    """The master, its optimizer and the draws of candidates go on bit for bit."""
    settings = {"keeps": (0.8, 0.6, 0.3), "sandwich_sample": 0, "optimizer": "adamw", "learning_rate": 1e-3}
    train_students([sandwich(span_home, sorted_span, tmp_path / "unbroken", **settings)], quiet)
    one_step = train.train_step

    class Killed(BaseException):
        """What a kill looks like from inside: nothing is saved any more."""

    def killed(runs, batches, processes):
        if runs[0].state.step == 6:
            raise Killed
        return one_step(runs, batches, processes)

    with monkeypatch.context() as patched:
        patched.setattr(train, "train_step", killed)
        with pytest.raises(Killed):
            train_students([sandwich(span_home, sorted_span, tmp_path / "killed", **settings)], quiet)
    assert [path.name for path in (tmp_path / "killed/checkpoints").iterdir()] == ["step-00000004"]
    train_students([sandwich(span_home, sorted_span, tmp_path / "killed", **settings)], quiet)
    assert same_weights(tmp_path / "unbroken", tmp_path / "killed")
    assert metrics(tmp_path / "unbroken") == metrics(tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed")
