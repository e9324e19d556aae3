"""Distributions from states: the dump adds the last layer, keeps the head once and measures what is lost; readers say so."""

import numpy as np
import pytest
import torch

import miniend
from miniend.cache import collate
from miniend.cache.codecs import HEAD_COLUMN, NORM_COLUMN
from miniend.errors import CacheDamagedError, CacheMismatchError, ConfigurationError
from miniend.recipes.inspect.inspection import describe, inspect_cache
from miniend.recipes.inspect.plot import plot_cache
from miniend.recipes.repair.verify import verify_cache
from miniend.student_train.reading.loader import BatchSource, in_order
from miniend.student_train.reading.teacher_signals import Needs, build_decoder, needed_columns
from miniend.teacher_dump.closing import closing_lines
from miniend.teacher_dump.config import DumpConfig
from support.damage import copy_of, document_of, files_of, flip, reseal, rewritten
from support.setups import terms_of
from support.tiny_cache import PAIRS, build_tiny_cache

STATES = {**PAIRS, "logits": "from-hidden"}
LAST = "decoder.hidden@1"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A tied teacher with a scale, and its cache of ragged pairs with no other signal."""
    folder = tmp_path_factory.mktemp("states")
    build_tiny_cache(folder, **STATES, signals="none")
    return folder


@pytest.fixture(scope="module")
def opened(home):
    return miniend.open_cache(home / "cache")


@pytest.fixture
def own(home, tmp_path):
    """A copy to damage."""
    return copy_of(home / "cache", tmp_path / "own")


def test_the_last_layer_is_added_at_the_error_that_logits_need(opened):
    """Whoever asks for distributions need not know which site they come from, nor that the default error is too coarse."""
    signals = opened.plan.signals
    assert (signals.hidden, signals.relations, signals.hidden_error) == ((LAST,), (), 1e-3)
    assert signals.logits.kind == "from-hidden"
    assert str(opened.state_site) == LAST
    assert opened.state_head.scale == pytest.approx(32**-0.5)
    assert not [name for shard in opened.shards for name in shard.folder.columns if name.startswith("logits.")]


def test_a_layer_that_the_user_names_is_there_once_and_the_users_error_is_for_all(home, tmp_path):
    """The layers below predict it, so that a loss on states and a loss on logits share their bytes."""
    settings = {**STATES, "signals": ("decoder.hidden@0,1", "encoder.self"), "hidden_error": 0.05}
    cache = miniend.open_cache(build_tiny_cache(tmp_path, **settings, teacher=home / "teacher"))
    assert cache.plan.signals.hidden == ("decoder.hidden@0", LAST)
    assert cache.plan.signals.hidden_error == 0.05
    assert str(cache.codecs[LAST].predicted_from) == "decoder.hidden@0"
    assert cache.fidelity()["logits"]["kl"].mean > 0
    needs = Needs(temperatures=frozenset({1.0, 4.0}))
    assert [name for name, _ in needed_columns(cache, needs).coefficients] == [
        "hidden.decoder.hidden@0",
        f"hidden.{LAST}",
    ]
    decoder = build_decoder(cache, needs, torch.device("cpu"))
    [batch] = in_order(BatchSource(cache.validation, needed_columns(cache, needs), 0), len(cache.validation))
    found = decoder.decode(batch).logits
    expected = torch.cat([cache.log_probabilities(example.hidden[LAST], 4.0) for example in cache.validation])
    torch.testing.assert_close(found[4.0].log_p(slice(None), 4.0), expected, rtol=0, atol=1e-4)


def test_shards_and_calibration_measure_the_same_loss_and_the_gradient(opened, home):
    """The KL of a shard is of the states that it holds; the calibration goes on from decoded states with the teacher itself."""
    measured = opened.fidelity()["logits"]
    assert set(measured) == {"kl", "gradient_dot", "gradient_square", "cached_square"}
    continued = inspect_cache(home / "cache").fidelity.continued_kl[LAST]
    assert measured["kl"].mean == pytest.approx(continued, rel=0.5)
    assert measured["kl"].count == sum(
        len(example.labels) for split in (opened, opened.validation) for example in split
    )
    fidelity = inspect_cache(home / "cache").fidelity.logits
    assert 0 < fidelity.gradient_angle < 10
    assert fidelity.gradient_norm_ratio == pytest.approx(1.0, abs=0.05)
    assert (fidelity.kept_mass, fidelity.entries) == (1.0, None)


def test_people_are_told_of_it(opened, home, tmp_path):
    """Lines, picture and the end of the dump: no number of entries that are not there."""
    said = "\n".join(describe(inspect_cache(home / "cache")))
    assert "logits (from-hidden)" in said
    assert "all ids, from the states and bases above" in said
    assert any("logits" in line and "nats" in line for line in closing_lines(opened, home / "cache"))
    assert "logits from-hidden" in repr(opened)
    assert "logits (from-hidden)" in opened._repr_html_()
    plot_cache(home / "cache", tmp_path / "picture.svg")
    assert (tmp_path / "picture.svg").stat().st_size


def test_examples_say_where_the_distributions_are(opened):
    """A loop of one's own that asks for lists is told what to read instead."""
    example = opened[0]
    assert example.logits is None
    found = opened.log_probabilities(example.hidden["decoder.hidden"])
    assert found.shape == (len(example.labels), opened.plan.teacher.facts.vocab_rows)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(len(found)))
    with pytest.raises(
        ValueError, match=r"from-hidden ask for its last decoder states .* call cache.log_probabilities"
    ):
        collate([example], logits=True)
    dataset = miniend.Dataset(opened, sites=("decoder.hidden",))
    batch = dataset.collate(list(dataset)[:2])
    states = batch["sites"]["decoder.hidden"]["hidden"][batch["labels"] != -100]
    assert opened.log_probabilities(states, 2.0).isfinite().all()


def test_the_formula_of_the_specification_gives_the_same_numbers(opened):
    """A stranger reads two columns, a member of the plan and a fact of the teacher, and nothing else."""
    plan, column = opened.plan_folder.document, opened.calibration_folder.column
    h = opened[3].hidden[LAST].astype(np.float64)
    scale, epsilon = plan["teacher"]["facts"]["head_scale"], plan["signals"]["logits"]["norm_epsilon"]
    y = scale * column("logits.norm") * h / np.sqrt((h**2).mean(-1, keepdims=True) + epsilon)
    z = y @ column("logits.head").astype(np.float64).T / 2.5
    log_p = z - np.log(np.exp(z - z.max(-1, keepdims=True)).sum(-1, keepdims=True)) - z.max(-1, keepdims=True)
    np.testing.assert_allclose(opened.log_probabilities(h, 2.5).numpy(), log_p, rtol=0, atol=1e-4)


def test_another_cache_does_not_have_the_head(home, tmp_path):
    """It says which option would have kept it."""
    lists = {**PAIRS, "logits": "hybrid", "signals": "decoder.hidden", "examples": 6, "calibration_examples": 4}
    cache = miniend.open_cache(build_tiny_cache(tmp_path, **lists, teacher=home / "teacher"))
    with pytest.raises(CacheMismatchError, match=r"does not hold the teacher's head, .*--logits from-hidden"):
        cache.log_probabilities(cache[0].hidden["decoder.hidden"])


@pytest.mark.parametrize("temperature", [1.0, 0.7, 20.0])
@pytest.mark.parametrize("objective", ["logits", "kd", "hidden"])
def test_every_temperature_is_there_for_every_objective_with_logits(opened, objective, temperature):
    """Only lists are made at one temperature."""
    settings = {"stacks": "decoder", "mapping": "last", "weight": ("logits=2",)} if objective == "hidden" else {}
    assert "logits" in terms_of(opened, objective, temperature=temperature, **settings)


def test_a_dump_in_parts_and_one_that_grows_give_the_bytes_of_one_run(home, tmp_path):
    """The head is stored once, with the calibration, whoever goes on."""
    settings = {**STATES, "signals": "none", "teacher": home / "teacher"}
    parts = build_tiny_cache(tmp_path / "parts", **settings, shards="1:2")
    assert miniend.open_cache(parts, allow_unfinished=True).state_head.weight.shape[1] == 32
    build_tiny_cache(tmp_path / "parts", **settings)
    assert files_of(parts) == files_of(home / "cache")
    grown = miniend.open_cache(build_tiny_cache(tmp_path / "parts", **settings, examples=30))
    assert (len(grown), len(grown.extents)) == (30, 2)
    with pytest.raises(CacheMismatchError, match="--hidden-error"):
        build_tiny_cache(tmp_path / "parts", **settings, hidden_error=1e-2)


@pytest.mark.parametrize("column", [HEAD_COLUMN, NORM_COLUMN])
def test_verify_names_a_damaged_head(own, column):
    """A changed byte, and a number that is sealed but cannot be a weight."""
    assert verify_cache(own).sound
    values = miniend.open_cache(own).calibration_folder.column(column)
    flip(own / "calibration" / column / ("c/0/0" if values.ndim == 2 else "c/0"), 40, 3)
    [sentences] = verify_cache(own).damaged.values()
    assert any(f"{column}/c/0" in sentence for sentence in sentences)
    with pytest.raises(CacheDamagedError, match=column):
        miniend.open_cache(own).log_probabilities(np.zeros((1, 32), np.float32))


def test_verify_names_a_head_that_is_not_finite_or_has_another_shape(own):
    """Its writer has sealed it."""
    head = miniend.open_cache(own).state_head.weight.numpy().copy()
    rewritten(own, "calibration", {HEAD_COLUMN: head[:-1]})
    assert any(
        "logits.head should have the shape" in one for ones in verify_cache(own).damaged.values() for one in ones
    )
    head[3, 4] = np.nan
    rewritten(own, "calibration", {HEAD_COLUMN: head})
    [*sentences] = [one for ones in verify_cache(own).damaged.values() for one in ones]
    assert any("logits.head should hold finite numbers only" in one for one in sentences)


def test_a_plan_without_the_last_layer_is_refused_in_one_line(own):
    """Its distributions could not be made of anything."""
    document = document_of(own, "plan")
    document["signals"]["hidden"] = []
    reseal(own, "plan", document)
    with pytest.raises(CacheDamagedError, match=f"its logits are made of {LAST}, which its signals.hidden lacks"):
        miniend.open_cache(own)


def test_a_plan_without_the_epsilon_of_the_norm_is_refused(own):
    """Readers would guess another one."""
    document = document_of(own, "plan")
    del document["signals"]["logits"]["norm_epsilon"]
    reseal(own, "plan", document)
    with pytest.raises(CacheDamagedError, match="norm_epsilon"):
        miniend.open_cache(own)


def test_a_temperature_of_the_dump_is_refused_for_every_temperature_is_there():
    """An option that is ignored says something that is not so."""
    with pytest.raises(ConfigurationError, match="leave it out for from-hidden, which has every temperature"):
        DumpConfig(teacher="t", corpus="c", cache="d", examples=9, logits="from-hidden", temperatures=(2.0,))
