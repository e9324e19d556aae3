"""Encoders without decoder, from end to end: their caches, their students, and what is refused.

The reference is transformers' own encoder; no mathematics of the package is used on that side.
"""

import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

import miniend
from miniend.errors import CacheDamagedError, CacheMismatchError, CheckpointError, ConfigurationError, CorpusError
from miniend.evaluation.checkpoint import load_checkpoint
from miniend.recipes.repair.repair import RepairConfig, repair_cache
from miniend.recipes.repair.verify import verify_cache
from miniend.student_train.config import TrainConfig, each_student
from miniend.student_train.reading.loader import in_order
from miniend.student_train.train import train_student, train_students
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
from support.damage import copy_of, document_of, read_everything, reseal
from support.runs import KILLED_AFTER_SEVEN_STEPS, RUN, metrics, same_weights
from support.setups import set_up_alone
from support.tiny_cache import DUMP, build_tiny_cache
from support.tiny_t5 import ragged_texts

FAMILIES = {"t5": "T5", "mt5": "MT5", "umt5": "UMT5"}
ENCODER = {"encoder_only": True, "noise_density": 0.15, "logits": None, "top_k": 64, "codec": "pcodec"}
"""The settings of a dump that only other tasks have are left at their defaults."""
EXACT = {"hidden_error": 1e-7}


def quiet(_line):
    """Says nothing."""


def dump(home, cache, teacher, **settings):
    """A cache of the encoder of a teacher."""
    given = {**DUMP, **ENCODER, "corpus": str(home / "ragged.jsonl"), "teacher": str(teacher), **settings}
    dump_teacher(DumpConfig(cache=cache, **given), log=quiet)
    return miniend.open_cache(cache, allow_unfinished=True)


def twin_of(teacher, folder, model_type="t5"):
    """The encoder of a checkpoint, as users have it: saved by transformers, with the tokenizer."""
    encoder = getattr(transformers, f"{FAMILIES[model_type]}EncoderModel").from_pretrained(teacher)
    encoder.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(teacher / name, folder)
    return encoder.eval()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A full teacher with its corpus, a cache of its encoder, and the encoder by itself."""
    folder = tmp_path_factory.mktemp("encoders")
    settings = {**ENCODER, **EXACT, "signals": "encoder.final,encoder.hidden@all,encoder.self"}
    build_tiny_cache(folder, corpus=str(ragged_texts(folder / "ragged.jsonl")), **settings)
    twin_of(folder / "teacher", folder / "twin")
    return folder


def states_of(encoder, examples):
    """The final states of each example, from one padded batch."""
    longest = max(len(one.input_ids) for one in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, one in enumerate(examples):
        ids[row, : len(one.input_ids)] = torch.from_numpy(np.asarray(one.input_ids, dtype=np.int64))
        mask[row, : len(one.input_ids)] = 1
    with torch.no_grad():
        states = encoder(input_ids=ids, attention_mask=mask).last_hidden_state.double()
    return [states[row, : len(one.input_ids)] for row, one in enumerate(examples)]


def worst_error(cache, encoder, site):
    """The squared error over the energy about the mean, over all cached examples."""
    examples = [cache[number] for number in range(len(cache))]
    exact = torch.cat(states_of(encoder, examples))
    cached = torch.cat([torch.as_tensor(np.asarray(one.hidden[site])).double() for one in examples])
    return float((cached - exact).square().sum() / (exact - exact.mean(0)).square().sum())


@pytest.mark.parametrize("model_type", FAMILIES)
def test_final_states_are_transformers_own(tmp_path, model_type):
    """Padding, the position bias of the family, and the final norm: a mistake in any is far above these errors."""
    settings = {
        "model_type": model_type,
        "tied": model_type == "t5",
        "corpus": str(ragged_texts(tmp_path / "ragged.jsonl")),
    }
    cache = build_tiny_cache(tmp_path, **settings, **ENCODER, **EXACT)
    encoder = twin_of(tmp_path / "teacher", tmp_path / "twin", model_type)
    opened = miniend.open_cache(cache)
    assert opened.plan.teacher.facts.model_type == f"{model_type}-encoder"
    assert worst_error(opened, encoder, "encoder.final") < 3e-7
    assert len({len(opened[number].input_ids) for number in range(len(opened))}) > 4


def test_the_default_error_holds_on_texts_that_nothing_was_fitted_on(home, tmp_path):
    """That is what `--hidden-error` promises."""
    cache = dump(home, tmp_path / "cache", home / "teacher", examples=120, calibration_examples=100)
    encoder = transformers.T5EncoderModel.from_pretrained(home / "twin").eval()
    held_out = [cache.validation[number] for number in range(len(cache.validation))]
    exact = torch.cat(states_of(encoder, held_out))
    cached = torch.cat([torch.as_tensor(np.asarray(one.hidden["encoder.final"])).double() for one in held_out])
    assert float((cached - exact).square().sum() / (exact - exact.mean(0)).square().sum()) < 2e-2
    told = miniend.inspect(tmp_path / "cache")
    cosine = float(torch.cosine_similarity(cached, exact, dim=1).mean())
    assert 1 - told.fidelity.hidden_cosine["encoder.final@1"] == pytest.approx(1 - cosine, rel=0.4)
    assert f"cosine {told.fidelity.hidden_cosine['encoder.final@1']:.4f}" in str(told)


def columns(cache):
    """Every file of the shards except their markers, which name the plan."""
    root = cache.path.local
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.glob("shards/**/*"))
        if path.is_file() and path.name != "marker.json"
    }


def test_a_full_checkpoint_and_its_encoder_give_the_same_cache(home, tmp_path):
    """Users of text encoders have either; what their students learn must not depend on it."""
    ours = dump(home, tmp_path / "ours", home / "teacher", **EXACT)
    theirs = dump(home, tmp_path / "theirs", home / "twin", **EXACT)
    lent = tmp_path / "lent"
    model = transformers.T5ForConditionalGeneration.from_pretrained(home / "teacher")
    settings = {name: value for name, value in {**DUMP, **ENCODER, **EXACT}.items() if value is not None}
    miniend.dump_teacher(
        teacher=model, tokenizer=None, corpus=str(home / "ragged.jsonl"), cache=lent, log=quiet, **settings
    )
    assert columns(ours) == columns(theirs) == columns(miniend.open_cache(lent))
    assert ours.plan.teacher.tensor_digest == theirs.plan.teacher.tensor_digest


def test_an_encoder_that_never_had_a_decoder_is_read(home, tmp_path):
    """Its config.json does not say with which id a decoder begins."""
    config = transformers.T5Config.from_pretrained(home / "twin")
    fresh = transformers.T5Config(
        **{name: getattr(config, name) for name in ("vocab_size", "d_model", "d_kv", "d_ff", "num_heads")}, num_layers=1
    )
    shutil.copytree(home / "twin", tmp_path / "own", ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    transformers.T5EncoderModel(fresh).save_pretrained(tmp_path / "own")
    assert "decoder_start_token_id" not in (tmp_path / "own" / "config.json").read_text()
    assert dump(home, tmp_path / "cache", tmp_path / "own").plan.teacher.start_id == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_checkpoints_of_half_precision_load_and_run_in_either_dtype(home, tmp_path, dtype):
    """Text encoders are published in these."""
    encoder = transformers.T5EncoderModel.from_pretrained(home / "twin", dtype=dtype)
    shutil.copytree(home / "twin", tmp_path / "half", ignore=shutil.ignore_patterns("*.safetensors"))
    encoder.save_pretrained(tmp_path / "half", max_shard_size="20KB")
    assert len([*(tmp_path / "half").glob("*.safetensors")]) > 1
    cache = dump(home, tmp_path / "cache", tmp_path / "half", **EXACT)
    assert worst_error(cache, encoder.float().eval(), "encoder.final") < 3e-7
    assert dump(home, tmp_path / "low", tmp_path / "half", dtype="bfloat16").complete


def test_a_cache_is_whole_resumed_verified_and_repaired(home, tmp_path, capsys):
    """What holds for every cache holds for these."""
    dump(home, tmp_path / "cache", home / "teacher", shards="0:2", **EXACT)
    cache = dump(home, tmp_path / "cache", home / "teacher", **EXACT)
    before = columns(cache)
    assert verify_cache(tmp_path / "cache").sound
    parts = (tmp_path / "cache" / "shards" / "train-000001").rglob("*")
    victim = next(path for path in parts if path.is_file() and "hidden" in str(path) and path.name != "zarr.json")
    victim.write_bytes(b"broken")
    shutil.rmtree(tmp_path / "cache" / "segments" / "train-000000")
    assert not verify_cache(tmp_path / "cache").sound
    repaired = RepairConfig(
        cache=tmp_path / "cache", teacher=str(home / "twin"), corpus=(str(home / "ragged.jsonl"),), device="cpu"
    )
    repair_cache(repaired, quiet)
    assert verify_cache(tmp_path / "cache").sound
    assert columns(miniend.open_cache(tmp_path / "cache")) == before
    facts = miniend.inspect(tmp_path / "cache")
    assert facts.fidelity.hidden_cosine["encoder.final@1"] == pytest.approx(1, abs=1e-6)
    assert facts.teacher.quality == "an encoder without decoder"
    assert miniend.open_cache(tmp_path / "cache").teacher_cross_entropy("train") is None


def test_what_a_decoder_is_needed_for_is_refused_in_one_line(home, tmp_path):
    """Before anything is computed."""
    cases = {
        "add --encoder-only": {"teacher": home / "twin", "encoder_only": False},
        "--task text is for encoders": {"encoder_only": False, "task": "text"},
        "--task pairs is for teachers with a decoder": {"task": "pairs", "field": ("source", "target")},
        "--logits hybrid": {"logits": "hybrid"},
        "expected one of encoder.self, encoder.hidden, encoder.final": {"signals": "decoder.self"},
        "encoder.final is of layer 1 only": {"signals": "encoder.final@0"},
        "--noise-density is an option of --task span-corruption": {"noise_density": 0.3},
        "too short: .*; lower --examples or give more text$": {"examples": 10_000, "validation_examples": 0},
    }
    for words, settings in cases.items():
        with pytest.raises((ConfigurationError, CheckpointError, CorpusError), match=words):
            dump(home, tmp_path / "cache", **{"teacher": home / "teacher", **settings})
    cache = home / "cache"
    refused = {
        "scratch": "learns to predict tokens.*use (--)?objective encoder$",
        "miniend-e": "learns to predict tokens.*use (--)?objective encoder$",
        "ted": "learns to predict tokens.*use (--)?objective encoder$",
        "minilm": "compares decoder.self.*use (--)?objective encoder$",
        "hidden": "compares decoder.hidden.*use (--)?objective encoder, or (--)?stacks encoder with this one$",
        "direct": "compares decoder.self.*use (--)?objective encoder, or (--)?stacks encoder with this one$",
    }
    for objective, words in refused.items():
        with pytest.raises(CacheMismatchError, match=words):
            miniend.train_student(cache=cache, output=tmp_path / "s", objective=objective, batch_size=4, log=quiet)
    with pytest.raises(CacheMismatchError, match=r"use (--)?objective encoder$"):
        miniend.train_student(
            cache=cache, output=tmp_path / "s", objective="direct", stacks="decoder", batch_size=4, log=quiet
        )
    for call, settings in (
        (miniend.filters, {"teacher": str(home / "twin")}),
        (miniend.prune_teacher, {"teacher": str(home / "twin"), "output": tmp_path / "sorted"}),
    ):
        with pytest.raises(CacheMismatchError, match="needs a teacher that predicts tokens"):
            call(cache=cache, log=quiet, **settings)
    with pytest.raises(CheckpointError, match="evaluate fine-tunes models with a decoder"):
        load_checkpoint(str(home / "twin"))


@pytest.mark.parametrize("facts", [{"decoder_layers": 5}, {"encoder_layers": 0}])
def test_the_depths_of_an_encoders_plan_are_an_encoders(home, tmp_path, facts):
    """A decoder that nobody has would reach the size that is proposed for a student."""
    cache = copy_of(home / "cache", tmp_path / "cache")
    plan = document_of(cache, "plan")
    reseal(cache, "plan", plan | {"teacher": plan["teacher"] | {"facts": plan["teacher"]["facts"] | facts}})
    with pytest.raises(CacheDamagedError, match=next(iter(facts))):
        read_everything(cache)


def test_examples_of_encoders_do_not_have_labels(home):
    """A batch goes into transformers' encoder, which takes none."""
    dataset = miniend.Dataset(home / "cache", sites=("encoder.final",))
    batch = dataset.collate(list(dataset)[:4])
    assert set(batch) == {"input_ids", "attention_mask", "sites"}
    states = transformers.T5EncoderModel.from_pretrained(home / "twin").eval()(
        **{name: batch[name] for name in ("input_ids", "attention_mask")}
    )
    valid = batch["attention_mask"].bool()
    theirs = batch["sites"]["encoder.final"]["hidden"]
    assert torch.allclose(states.last_hidden_state[valid], theirs[valid], atol=1e-2)
    with pytest.raises(CacheMismatchError, match="does not have labels"):
        _ = dataset.split[0].labels


@pytest.mark.parametrize(
    ("document", "member"), [("calibration", "teacher"), ("shards/train-000000", "teacher_cross_entropy")]
)
def test_only_an_encoders_documents_lack_how_it_predicts(home, tmp_path, document, member):
    """A reader would take a full teacher for one that was never measured."""
    build_tiny_cache(tmp_path, signals="none")
    whole, own = tmp_path / "cache", copy_of(home / "cache", tmp_path / "own")
    measured = document_of(whole, document)[member]
    for cache, value, words in ((whole, None, "be there"), (own, measured, "be missing")):
        reseal(cache, document, document_of(cache, document) | {member: value})
        with pytest.raises(CacheDamagedError, match=f"its member {member} should {words}"):
            read_everything(cache)


def config(home, output, **settings):
    settings = {**RUN, "objective": "encoder", "size": "1L64H", "relation_heads": None, **settings}
    return TrainConfig(cache=home / "cache", output=output, **settings)


def test_the_term_is_the_share_of_the_error_and_the_cosine_distance(home):
    """Against the formula in float64, on the states of the live encoder."""
    cache = miniend.open_cache(home / "cache")
    setup = set_up_alone(config(home, home / "unused"), cache)
    batch = next(in_order(setup.feed.training, 24))
    with torch.no_grad():
        sums = setup.distillation(batch, setup.feed.decoder.decode(batch))
    means = setup.distillation.part_means(
        {name: one.item() for name, one in sums.items()}, setup.distillation.counts(batch)
    )
    encoder = transformers.T5EncoderModel.from_pretrained(home / "twin").eval()
    examples = [cache[number] for number in range(24)]
    theirs = torch.cat(states_of(encoder, examples))
    maps = {name.rsplit(".", 1)[1]: one.detach().double() for name, one in setup.distillation.terms.named_parameters()}
    ours = torch.cat(states_of(setup.student.eval(), examples)) @ maps["weight"].T + maps["bias"]
    energy = (theirs - theirs.mean(0)).square().sum(1).mean()
    assert means["final.error"] == pytest.approx(float((ours - theirs).square().sum(1).mean() / energy), rel=1e-4)
    distance = 1 - torch.cosine_similarity(ours, theirs, dim=1)
    assert means["final.cosine"] == pytest.approx(float(distance.mean()), rel=1e-4)


def test_a_student_that_is_its_teacher_has_only_the_error_of_the_cache(home):
    """Without a map, because a random one would undo its start."""
    setup = set_up_alone(
        config(home, home / "unused", init=str(home / "twin"), size=None), miniend.open_cache(home / "cache")
    )
    assert not list(setup.distillation.terms.parameters())
    batch = next(in_order(setup.feed.training, 24))
    with torch.no_grad():
        sums = setup.distillation(batch, setup.feed.decoder.decode(batch))
    means = setup.distillation.part_means(
        {name: one.item() for name, one in sums.items()}, setup.distillation.counts(batch)
    )
    assert 0 < means["final.error"] < 3e-7
    assert means["final.cosine"] < 1e-6


@pytest.fixture(scope="module")
def student(home):
    """A student of another width, trained for ten steps."""
    train_student(config(home, home / "student"), log=quiet)
    return home / "student"


def test_a_student_learns_and_says_how_near_it_is(home, tmp_path):
    """The loss falls, and the end is a sentence about the states."""
    lines = []
    settings = {
        "optimizer": "adamw",
        "learning_rate": 1e-2,
        "steps": 60,
        "eval_every": 30,
        "save_every": 60,
        "batch_size": 8,
    }
    train_student(config(home, tmp_path / "s", **settings), log=lines.append)
    losses = [line["final"] for line in metrics(tmp_path / "s") if "final" in line]
    assert losses[-1] < 0.5 * losses[0]
    assert any(
        "of the variance of the teacher's final states explained, mean cosine 0." in line for line in map(str, lines)
    )


def test_a_student_opens_in_transformers_and_takes_the_teachers_place(home, student, tmp_path):
    """Its states have the teacher's width; saved again, they are the same to the bit."""
    config_json = json.loads((student / "config.json").read_text())
    assert (config_json["model_type"], config_json["architectures"]) == ("t5", ["T5EncoderModel"])
    plain, report = transformers.T5EncoderModel.from_pretrained(student, output_loading_info=True)
    assert not any(report.values())
    model = miniend.ProjectedT5Encoder.from_student(student)
    cache = miniend.open_cache(home / "cache")
    examples = [cache[number] for number in range(6)]
    maps = load_file(student / "projections.safetensors")
    weight, bias = maps["final.maps.final.weight"].double(), maps["final.maps.final.bias"].double()
    for ours, states in zip(states_of(model, examples), states_of(plain.eval(), examples), strict=True):
        assert ours.shape[1] == cache.plan.teacher.facts.d_model == 32
        assert torch.allclose(ours, states @ weight.T + bias, atol=1e-5)
    model.save_pretrained(tmp_path / "whole")
    again, report = miniend.ProjectedT5Encoder.from_pretrained(tmp_path / "whole", output_loading_info=True)
    assert not any(report.values())
    assert type(transformers.AutoModel.from_pretrained(tmp_path / "whole")) is miniend.ProjectedT5Encoder
    for ours, theirs in zip(states_of(model, examples), states_of(again.eval(), examples), strict=True):
        assert torch.equal(ours, theirs)
    assert (
        miniend.ProjectedT5Encoder.from_student(student, dtype=torch.bfloat16).projection.weight.dtype == torch.bfloat16
    )
    with pytest.raises(CheckpointError, match="is a plain encoder; load it with"):
        miniend.ProjectedT5Encoder.from_student(home / "twin")


def test_the_python_of_the_card_runs(student, monkeypatch):
    """A user pastes it."""
    card = (student / "README.md").read_text()
    assert "feature-extraction" in card
    assert "must be fine-tuned" not in card
    monkeypatch.chdir(student)
    found = {}
    exec(card.split("```python\n")[1].split("```")[0], found)
    assert found["states"].shape[-1] == 32


def test_the_card_of_other_objectives_gives_the_plain_encoder(home, tmp_path, monkeypatch):
    """Their maps are of layers, so that nothing maps the final states."""
    other = config(home, tmp_path / "s", objective="hidden", stacks="encoder", mapping="last", size="1L64H")
    train_student(other, log=quiet)
    card = (tmp_path / "s" / "README.md").read_text()
    assert "ProjectedT5Encoder" not in card
    monkeypatch.chdir(tmp_path / "s")
    found = {}
    exec(card.split("```python\n")[1].split("```")[0], found)
    assert found["states"].shape[-1] == 64
    with pytest.raises(CheckpointError, match="does not hold a map of final states"):
        miniend.ProjectedT5Encoder.from_student(tmp_path / "s")


def test_states_of_layers_and_relations_join_by_a_weight(home, tmp_path):
    """They are other terms of the same objective."""
    weighed = config(
        home, tmp_path / "c", weight=("encoder_hidden=0.5", "encoder_self=0.1"), relation_heads=4, mapping="last"
    )
    train_student(weighed, log=quiet)
    [line] = [one for one in metrics(tmp_path / "c") if one["step"] == 10]
    assert {"final", "encoder_hidden", "encoder_self"} <= {*line}


def test_students_of_one_pass_are_those_of_their_own_runs(home, student, tmp_path):
    """The map of one must not draw from the random numbers of another."""
    train_students(each_student(config(home, tmp_path), ["1L64H", "1L96H"], ["encoder"]), quiet)
    assert same_weights(tmp_path / "1L64H-encoder", student)
    assert (tmp_path / "1L64H-encoder" / "projections.safetensors").read_bytes() == (
        student / "projections.safetensors"
    ).read_bytes()


@pytest.mark.slow
def test_a_killed_run_ends_as_the_unbroken_one(home, student, tmp_path, commands):
    """With its learned map."""
    settings = {**RUN, "size": "1L64H", "objective": "encoder", "cache": home / "cache", "output": tmp_path / "s"}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items() if name != "relation_heads"]
    killed = commands.python(KILLED_AFTER_SEVEN_STEPS, "train-student", *options)
    assert killed.wait() == -signal.SIGKILL, killed.written()
    train_student(config(home, tmp_path / "s"), log=quiet)
    assert same_weights(tmp_path / "s", student)
    assert (tmp_path / "s" / "projections.safetensors").read_bytes() == (
        student / "projections.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("source", ["teacher", "twin"])
def test_a_student_can_start_from_layers_of_the_encoder_or_of_the_full_checkpoint(home, tmp_path, source):
    """The start is the teacher's own layer, so the states are near from the first step on."""
    settings = {"init": f"teacher-layers:{home / source}", "size": "1L32H", "steps": 2, "warmup_steps": 0}
    train_student(config(home, tmp_path / "s", **settings), log=quiet)
    assert type(transformers.AutoModelForTextEncoding.from_pretrained(tmp_path / "s")).__name__ == "T5EncoderModel"
    assert not (tmp_path / "s" / "projections.safetensors").exists()


def test_a_cache_in_a_store_is_the_local_one_and_trains_the_same_student(home, student, bucket, tmp_path):
    """Dumped to the store, and read from it."""
    settings = {**EXACT, "signals": "encoder.final,encoder.hidden@all,encoder.self"}
    stored = dump(home, f"{bucket.url}/caches/e", home / "teacher", **settings)
    local = {
        f"caches/e/{path.relative_to(home / 'cache').as_posix()}": path.read_bytes()
        for path in (home / "cache").rglob("*")
        if path.is_file() and path.name != "dump.yaml"
    }
    kept = {name: content for name, content in bucket.contents().items() if not name.endswith("/dump.yaml")}
    assert kept == local
    run = config(home, tmp_path / "s")
    train_student(replace(run, cache=str(stored.path)), log=quiet)
    assert same_weights(tmp_path / "s", student)


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(home, commands, tmp_path):
    """The means of both parts are over the tokens of the whole batch, whichever process has them."""
    settings = {**RUN, "size": "1L64H", "batch_size": 8, "cache": home / "cache", "objective": "encoder"}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items() if name != "relation_heads"]
    processes = commands.ranks(2, "train-student", *options, f"--output={tmp_path / 'two'}")
    train_student(config(home, tmp_path / "one", batch_size=8), log=quiet)
    ended = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    for ours, theirs in zip(metrics(tmp_path / "one"), metrics(tmp_path / "two"), strict=True):
        assert theirs == pytest.approx(ours, rel=2e-4)
