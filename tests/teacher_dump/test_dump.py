"""Dumping: resumed, killed, grown and repeated, a cache is the same bytes; anything else is refused by name."""

import hashlib
import json
import math
import re
import shutil
import signal
import time
from collections import Counter
from dataclasses import fields, replace
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5ForConditionalGeneration

import miniend
from miniend.errors import CacheMismatchError, ConfigurationError, CorpusError, TeacherError
from miniend.recipes.inspect.inspection import describe, inspect_cache
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.corpus.plain_text import plain_text_encoder
from miniend.teacher_dump.dump import dump_teacher
from miniend.teacher_dump.examples.packing import is_validation
from miniend.teacher_dump.examples.segments import LENGTH_STREAMS
from miniend.teacher_dump.examples.source import ExampleSource
from miniend.teacher_dump.examples.span_corruption import drawn_lengths, lengths
from support.spans import restored
from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts
from support.tiny_tokenizer import build_tiny_tokenizer

SETTINGS = {
    "examples": 20,
    "validation_examples": 4,
    "calibration_examples": 8,
    "input_length": 32,
    "shard_examples": 4,
    "batch_size": 3,
    "logits": "top-k",
    "top_k": 8,
    "device": "cpu",
    "threads": 1,
}
RUN = """
import json, sys
from pathlib import Path
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher
settings = json.loads(sys.argv[1])
dump_teacher(DumpConfig(**settings | {"cache": Path(settings["cache"])}))
"""


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """One teacher, one tokenizer, one corpus."""
    root = tmp_path_factory.mktemp("dump")
    texts = tiny_texts(160, words=30)
    tokenizer = build_tiny_tokenizer(texts, 220, sentinels=16)
    return SimpleNamespace(
        root=root,
        texts=texts,
        tokenizer=tokenizer,
        corpus=write_texts(root / "corpus.jsonl", texts),
        teacher=build_tiny_t5(root / "teacher", tokenizer, layers=(1, 1)),
    )


@pytest.fixture(scope="module")
def finished(material):
    """A dump in one go; tests that change it take a copy."""
    return dump(material, material.root / "finished").cache


def dump(material, cache, **settings):
    lines = []
    config = {"teacher": str(material.teacher), "corpus": str(material.corpus), "cache": cache, **SETTINGS, **settings}
    report = dump_teacher(DumpConfig(**config), log=lines.append)
    return SimpleNamespace(cache=cache, said="\n".join(lines), report=report)


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copied")


def contents(root):
    """Every file by its path: bytes."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "dump.yaml"
    }


def same_logits(one, other):
    """Whether two examples have the same distributions to the last bit."""
    return all(np.array_equal(getattr(one.logits, f.name), getattr(other.logits, f.name)) for f in fields(one.logits))


def examples_of(cache):
    """The ids of all examples, validation last."""
    return [(e.input_ids.tolist(), e.labels.tolist()) for e in (*cache, *cache.validation)]


def test_running_again_does_nothing_at_all(material, copied):
    """A second run that rewrites a file would change the digest under students that record it."""
    states = {
        path: (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in sorted(copied.rglob("*"))
        if path.name != "dump.yaml"
    }
    before = contents(copied)
    again = dump(material, copied)
    assert again.report.new_examples == 0
    assert "were already there" in again.said
    assert contents(copied) == before
    assert {
        path: (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in sorted(copied.rglob("*"))
        if path.name != "dump.yaml"
    } == states


def test_two_dumps_of_the_same_settings_are_the_same_bytes(material, finished, tmp_path):
    """Anything that leaks in from time, host or order would make a repaired shard another shard."""
    dump(material, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(finished)


def test_a_dump_killed_between_shards_and_run_again_is_the_unbroken_one(material, commands, tmp_path):
    """A half-written shard that counts as published, or a leftover of the killed writer, would stay in the cache."""
    many = {"examples": 30, "shard_examples": 2}
    unbroken = dump(material, tmp_path / "unbroken", **many).cache
    killed = tmp_path / "killed"
    settings = {
        "teacher": str(material.teacher),
        "corpus": str(material.corpus),
        **SETTINGS,
        **many,
        "cache": str(killed),
    }
    process = commands.python(RUN, json.dumps(settings))
    published = killed / "shards" / "validation-000000" / "marker.json"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if published.exists() and list(published.parents[1].glob(".staging-train-*/relations*")):
            break  # in the middle of writing a shard
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    shards = [path for path in (killed / "shards").glob("[tv]*-*") if (path / "marker.json").exists()]
    assert 1 <= len(shards) < 17
    with pytest.raises(miniend.errors.CacheUnfinishedError, match="unfinished"):
        miniend.open_cache(killed)
    assert dump(material, killed, **many).report.new_examples == 34 - 2 * len(shards)
    assert contents(killed) == contents(unbroken)


@pytest.mark.parametrize("lost", ["shards/train-000002", "shards", "calibration", "segments/train-000000", "extents"])
def test_whatever_is_missing_is_made_again_the_same(material, finished, copied, lost):
    """A later stage that drew on anything but the plan would come out different the second time."""
    shutil.rmtree(copied / lost)
    dump(material, copied)
    assert contents(copied) == contents(finished)


def test_more_examples_are_appended_and_what_was_there_stays(material, finished, copied):
    """Rewritten or renumbered shards would change a cache on which students already depend."""
    before = contents(copied)
    grown = dump(material, copied, examples=26)
    assert grown.report.new_examples == 6
    after = contents(copied)
    assert {name: after[name] for name in before} == before
    cache = miniend.open_cache(copied)
    assert len(cache) == 26
    assert examples_of(cache)[:20] == examples_of(miniend.open_cache(finished))[:20]
    assert cache.digest != miniend.open_cache(finished).digest


def test_fewer_examples_are_refused(material, copied):
    """Silently keeping the larger number would surprise whoever asked for the smaller."""
    with pytest.raises(CacheMismatchError, match=r"20 examples.*at least 20, found 19"):
        dump(material, copied, examples=19)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"seed": 1}, "--seed: there 0, now 1"),
        ({"top_k": 9}, "--top-k: there 8, now 9"),
        ({"top_p": 0.9}, "--top-p: there 1.0, now 0.9"),
        ({"logits": "hybrid"}, "--logits: there top-k, now hybrid"),
        ({"logits": "none"}, "--logits: there {"),
        ({"logit_step": 0.25}, "--logit-step: there 0.125, now 0.25"),
        ({"batch_size": 4}, "--batch-size: there 3, now 4"),
        ({"shard_examples": 5}, "--shard-examples: there 4, now 5"),
        ({"input_length": 33}, "--input-length: there 32, now 33"),
        ({"noise_density": 0.3}, "--noise-density: there 0.15, now 0.3. Use"),
        ({"mean_noise_span_length": 2.0}, "--mean-noise-span-length: there 3.0, now 2.0. Use"),
        ({"signals": "encoder.self"}, "--signal: there"),
        ({"relation_step": 0.1}, "--relation-step: there None, now 0.1"),
        ({"relation_kl": 0.1}, "--relation-kl: there 0.003, now 0.1"),
        ({"relation_rank": 3}, "--relation-rank: there None, now 3"),
        ({"relation_temperature": "calibrated"}, "--relation-temperature: there published, now calibrated"),
        ({"hidden_error": 0.1}, "--hidden-error: there 0.01, now 0.1"),
        ({"calibration_examples": 9}, "--calibration-examples: there 8, now 9"),
        ({"shuffle_buffer": 9}, "--shuffle-buffer: there 0, now 9"),
        ({"codec": "zstd"}, "--codec: there pcodec, now zstd"),
        ({"dtype": "bfloat16"}, "--dtype: there float32, now bfloat16"),
        ({"validation_examples": 5}, "--validation-examples: there 4, now 5"),
    ],
)
def test_another_setting_is_refused_by_its_name(material, finished, setting, named):
    """Shards of two settings in one cache would teach two things; a derived name would leave the user searching for the flag."""
    before = contents(finished)
    with pytest.raises(CacheMismatchError, match=re.escape(named)):
        dump(material, finished, **setting)
    assert contents(finished) == before


def test_another_teacher_under_the_same_name_is_refused(material, finished, tmp_path):
    """A checkpoint that was trained on and saved over itself has the same path and answers differently."""
    other = shutil.copytree(material.teacher, tmp_path / "teacher")
    weights = load_file(other / "model.safetensors")
    name = "decoder.block.0.layer.2.DenseReluDense.wi.weight"
    weights[name][0, 0] += 1e-3
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CacheMismatchError, match=r"teacher\.tensor_digest: there .*, now "):
        dump(material, finished, teacher=str(other))


def test_another_corpus_under_the_same_name_is_refused(material, finished, tmp_path):
    """Segments already published would be of the old text and later ones of the new."""
    other = write_texts(tmp_path / "corpus.jsonl", [material.texts[0].upper(), *material.texts[1:]])
    with pytest.raises(CacheMismatchError, match=r"corpus\.parts\[1\]\.files\[corpus\.jsonl\]\.sha256: there .*, now "):
        dump(material, finished, corpus=str(other))


def test_a_corpus_that_is_too_short_says_what_it_holds_and_more_passes_help(material, tmp_path):
    """Going round unasked would show the same text twice; refusing without the number would leave the user guessing."""
    settings = {"validation_examples": 0, "signals": "none", "batch_size": 16, "shard_examples": 64}
    with pytest.raises(CorpusError, match="too short: expected 1,000 training") as refused:
        dump(material, tmp_path / "cache", examples=1000, **settings)
    held = int(re.search(r"found (\d+);", str(refused.value))[1])
    assert 20 < held < 1000
    with pytest.raises(CorpusError, match=rf"expected {2 * held + 1} .*found {held} \({2 * held} in 2 passes\);"):
        dump(material, tmp_path / "cache", examples=2 * held + 1, corpus_epochs=2, **settings)
    assert len(miniend.open_cache(dump(material, tmp_path / "cache", examples=held, **settings).cache)) == held
    grown = dump(material, tmp_path / "cache", examples=held + 5, corpus_epochs=2, **settings)
    assert grown.report.new_examples == 5


def test_too_few_validation_documents_are_named(material, tmp_path):
    """A validation set filled up from training text would not be one."""
    with pytest.raises(CorpusError, match=r"validation documents fill \d+ of 400 validation examples"):
        dump(material, tmp_path / "cache", validation_examples=400)


@pytest.mark.parametrize(
    "mended", [{"validation_examples": 4}, {"validation_examples": 4, "input_length": 24, "seed": 3}]
)
def test_a_command_that_was_refused_for_a_short_corpus_can_be_mended_in_the_same_directory(material, tmp_path, mended):
    """A plan that has promised no example yet must not hold the user to the settings that could not work."""
    with pytest.raises(CorpusError):
        dump(material, tmp_path / "cache", validation_examples=400)
    again = dump(material, tmp_path / "cache", **mended)
    fresh = dump(material, tmp_path / "fresh", **mended)
    assert contents(again.cache) == contents(fresh.cache)


def test_a_second_pass_corrupts_the_same_segments_afresh(material, tmp_path):
    """The same holes again would be no new example, other segments would mean that some were skipped the first time."""
    short = write_texts(tmp_path / "short.jsonl", material.texts[:24])
    with pytest.raises(CorpusError) as refused:
        dump(material, tmp_path / "one", corpus=str(short), examples=1000, validation_examples=0)
    held = int(re.search(r"found (\d+)", str(refused.value))[1])
    twice = {
        "corpus": str(short),
        "examples": 2 * held,
        "validation_examples": 0,
        "corpus_epochs": 2,
        "signals": "none",
    }
    cache = miniend.open_cache(dump(material, tmp_path / "two", **twice).cache)
    sentinels = range(220 - 16, 220)
    for first, second in zip(cache[:held], cache[held:], strict=True):
        assert restored(first, sentinels) == restored(second, sentinels)
    differing = sum(
        a.input_ids.tolist() != b.input_ids.tolist() for a, b in zip(cache[:held], cache[held:], strict=True)
    )
    assert differing > 0.8 * held


def test_training_examples_hold_no_text_of_validation_documents(material, finished):
    """A validation loss on text that the student has trained on measures memory."""
    document = json.loads((finished / "plan" / "plan.json").read_text())
    [file] = document["corpus"]["parts"][0]["files"]
    assert file["sha256"] == hashlib.sha256(material.corpus.read_bytes()).hexdigest()
    share = document["derived"]["validation_share"]
    encode = plain_text_encoder(material.tokenizer)
    kept, held = [], []
    segments = finished / "segments" / "validation-000000" / "marker.json"
    last = json.loads(segments.read_text())["next"]["document"]
    for index, ids in enumerate(encode(material.texts)):
        if is_validation(document["seed"], index, share) and index <= last:
            held += ids
        else:
            kept += ids
    sentinels = range(220 - 16, 220)
    cache = miniend.open_cache(finished)
    length = document["objective"]["segment_length"]
    trained = [restored(example, sentinels) for example in cache]
    assert trained == [kept[i * length : (i + 1) * length] for i in range(20)]
    assert [restored(e, sentinels) for e in cache.validation] == [held[i * length : (i + 1) * length] for i in range(4)]


def test_validation_and_training_examples_have_nothing_in_common(finished):
    """The two splits number their examples alike; one stream of chance for both would give them the same holes."""
    cache = miniend.open_cache(finished)
    assert not {tuple(e.input_ids) for e in cache} & {tuple(e.input_ids) for e in cache.validation}
    holes = [
        [np.flatnonzero(e.input_ids >= 220 - 16).tolist() for e in split[:4]] for split in (cache, cache.validation)
    ]
    assert sum(one == other for one, other in zip(*holes, strict=True)) < 2
    assert [shard.place.split for shard in cache.shards] == ["validation"] + ["train"] * 5


def test_examples_depend_on_seed_and_index_alone(material, finished, tmp_path):
    """Examples that change with batch or shard size could not be compared between caches, nor dumped in parallel."""
    other = dump(material, tmp_path / "other", batch_size=7, shard_examples=11, codec="zstd", signals="decoder.cross")
    assert examples_of(miniend.open_cache(other.cache)) == examples_of(miniend.open_cache(finished))
    reseeded = dump(material, tmp_path / "seed", seed=1, signals="none")
    assert examples_of(miniend.open_cache(reseeded.cache))[:3] != examples_of(miniend.open_cache(finished))[:3]


@pytest.mark.parametrize("kind", ["sampled", "hybrid"])
def test_draws_depend_on_seed_split_and_place_alone(material, tmp_path, kind):
    """Draws that change with batch, shard or order could not be repaired, grown or dumped in parallel."""
    settings = {"logits": kind, "signals": "none", "draws": 12}
    one = miniend.open_cache(dump(material, tmp_path / "one", **settings).cache)
    other = miniend.open_cache(
        dump(material, tmp_path / "other", **settings, batch_size=7, shard_examples=11, codec="zstd").cache
    )
    for ours, theirs in zip([*one, *one.validation], [*other, *other.validation], strict=True):
        assert np.array_equal(ours.logits.draw_ids, theirs.logits.draw_ids)
        assert np.array_equal(ours.logits.head_ids, theirs.logits.head_ids)
        assert np.allclose(ours.logits.draw_weights, theirs.logits.draw_weights)
        assert len(ours.logits.draw_ids) > 0
    reseeded = miniend.open_cache(dump(material, tmp_path / "seed", **settings, seed=1).cache)
    assert [e.logits.draw_ids.tolist() for e in reseeded] != [e.logits.draw_ids.tolist() for e in one]


def test_uniform_numbers_are_an_examples_own(material, finished):
    """Neighbours, splits and positions that share a number would draw alike, and their errors would add up."""
    plan = miniend.open_cache(finished).plan
    source = ExampleSource(finished, plan)
    numbers = [source.uniforms(split, index, 9) for split in ("train", "validation") for index in range(40)]
    assert len(np.unique(np.concatenate(numbers))) == 2 * 40 * 9
    assert np.array_equal(numbers[3], source.uniforms("train", 3, 9))
    assert np.array_equal(numbers[3][:5], source.uniforms("train", 3, 5))
    assert np.array_equal(ExampleSource(finished, replace(plan, batch_size=99)).uniforms("train", 3, 9), numbers[3])
    assert not np.array_equal(ExampleSource(finished, replace(plan, seed=1)).uniforms("train", 3, 9), numbers[3])
    assert all(number.dtype == np.float64 and 0 <= number.min() <= number.max() < 1 for number in numbers)


def test_drawn_lengths_are_all_used_also_by_a_cache_that_grows(material, tmp_path):
    """A target then ends where its text does, and not always at one position. The noise of each is T5's for its length."""
    drawn = {"shortest_input_length": 12, "signals": "none", "logits": "none"}
    grown = dump(material, tmp_path / "grown", **drawn, examples=24).cache
    dump(material, grown, **drawn, examples=60)
    cache = miniend.open_cache(grown)
    shortest = lengths(12).segment
    expected = islice(drawn_lengths(cache.plan.seed, LENGTH_STREAMS["train"], 0, shortest, lengths(32).segment), 60)
    for one, segment in zip(cache.training, expected, strict=True):
        raw, noise = (
            sum(id not in (1, *cache.plan.tokenizer.sentinel_ids) for id in ids.tolist()) for ids in one.ids.values()
        )
        assert raw + noise == segment
        assert noise == max(1, round(segment * 0.15))
    inputs = {len(one.ids["input"]) for one in cache.training}
    assert min(inputs) >= 12
    assert max(inputs) <= 32
    assert len(inputs) > 12


def test_a_cache_without_signals_pre_trains_a_model(material, tmp_path, capsys):
    """Its examples and their labels are all that the objective scratch reads, and nobody compares it with the random teacher."""
    made = dump(material, tmp_path / "c", signals="none", logits="none", examples=32)
    assert "--output student --objective scratch" in made.said
    assert "warning" not in made.said
    cache = miniend.open_cache(made.cache)
    assert not cache.codecs
    assert not cache.logit_code
    assert "32 training and 4 validation examples" in "\n".join(describe(inspect_cache(made.cache)))
    trained = miniend.train_student(
        cache=made.cache,
        output=tmp_path / "s",
        objective="scratch",
        size="1L160H",
        steps=30,
        batch_size=8,
        device="cpu",
    )
    said = capsys.readouterr()
    assert "warning" not in said.out + said.err
    assert re.search(r"validation \d\.\d\d nats \(word frequencies \d\.\d\d\): ", said.out)
    assert trained.losses["cross_entropy"] < math.log(len(material.tokenizer))
    with pytest.raises(CacheMismatchError, match=r"needs logits, which .* was dumped without"):
        miniend.train_student(
            cache=made.cache, output=tmp_path / "t", objective="logits", size="1L32H", steps=1, device="cpu"
        )


def test_a_shortest_length_that_cannot_work_is_refused_with_its_flag(material, tmp_path):
    """Found before the teacher is loaded, or with the lengths that it gives."""
    with pytest.raises(ConfigurationError, match=r"--shortest-input-length must be at most --input-length, 32, not 33"):
        dump(material, tmp_path / "c", shortest_input_length=33)
    with pytest.raises(ConfigurationError, match="an input length of at least 3, found 2"):
        dump(material, tmp_path / "c", shortest_input_length=2)
    with pytest.raises(ConfigurationError, match="--shortest-input-length is an option of --task span-corruption"):
        dump(material, tmp_path / "c", task="pairs", shortest_input_length=8)


def test_a_hybrid_cache_is_the_same_bytes_when_it_is_resumed_or_grown(material, tmp_path):
    """A stream of chance that goes on from shard to shard would give a repaired shard other draws."""
    settings = {"logits": "hybrid", "signals": "decoder.self"}
    whole = contents(dump(material, tmp_path / "whole", **settings).cache)
    repaired = tmp_path / "repaired"
    dump(material, repaired, **settings)
    for lost in ("shards/train-000002", "shards/validation-000000", "calibration"):
        shutil.rmtree(repaired / lost)
    dump(material, repaired, **settings)
    assert contents(repaired) == whole
    grown = contents(dump(material, repaired, **settings, examples=24).cache)
    assert {name: grown[name] for name in whole} == whole
    assert len(grown) > len(whole)


def test_both_codecs_give_the_same_cache_back(material, finished, tmp_path):
    """A codec that reorders or overflows returns plausible integers, and no one would notice but the student."""
    other = miniend.open_cache(dump(material, tmp_path / "zstd", codec="zstd").cache)
    cache = miniend.open_cache(finished)
    for one, two in zip([*cache, *cache.validation], [*other, *other.validation], strict=True):
        assert np.array_equal(one.input_ids, two.input_ids)
        assert same_logits(one, two)
        for site in one.relations:
            for kind in ("query", "key", "value"):
                assert np.array_equal(getattr(one.relations[site], kind), getattr(two.relations[site], kind))


@pytest.mark.parametrize(("dtype", "advice"), [("float32", "use another checkpoint"), ("bfloat16", "--dtype float32")])
def test_a_teacher_that_overflows_is_refused(material, tmp_path, dtype, advice):
    """A NaN rounds to some integer, and the cache would look as sound as any. In float32 the advice was --dtype float32."""
    broken = shutil.copytree(material.teacher, tmp_path / "teacher")
    weights = load_file(broken / "model.safetensors")
    weights["decoder.block.0.layer.2.DenseReluDense.wo.weight"].fill_(3e38)
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TeacherError, match=f"is not finite: it overflows in {dtype}; .*{advice}"):
        dump(material, tmp_path / "cache", teacher=str(broken), dtype=dtype)
    assert not (tmp_path / "cache" / "shards").exists()


def test_a_directory_with_other_files_is_left_alone(material, tmp_path):
    """Writing a cache between somebody's files would make it impossible to remove either."""
    (tmp_path / "thesis.tex").write_text("do not touch")
    with pytest.raises(
        CacheMismatchError, match=r"does not hold a cache but other files: it is a folder that holds thesis\.tex"
    ):
        dump(material, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(CacheMismatchError, match="is a file"):
        dump(material, tmp_path / "thesis.tex")


def test_the_cross_entropy_that_inspect_prints_is_the_teachers_own(material, finished):
    """The one number that tells of a wrong head scale, tokenizer or shift is worthless if it is computed wrongly."""
    model = T5ForConditionalGeneration.from_pretrained(material.teacher).eval()
    cache = miniend.open_cache(finished)
    printed = inspect_cache(finished).teacher
    for split, name in ((cache, "cross_entropy"), (cache.validation, "validation_cross_entropy")):
        total, count = 0.0, 0
        for example in split:
            labels = torch.tensor([example.labels.tolist()])
            with torch.no_grad():
                loss = model(input_ids=torch.tensor([example.input_ids.tolist()]), labels=labels).loss
            total, count = total + float(loss) * labels.numel(), count + labels.numel()
        assert getattr(printed, name) == pytest.approx(total / count, rel=1e-5)


def test_the_loss_of_ends_is_that_of_transformers_own_model_on_the_calibration_examples(material, finished):
    """A teacher that was trained with other lengths is told by it alone."""
    model = T5ForConditionalGeneration.from_pretrained(material.teacher).eval()
    document = json.loads((finished / "calibration" / "calibration.json").read_text())
    cache, (_, stop) = miniend.open_cache(finished), document["examples"]["report"]
    losses = []
    for example in (cache[i] for i in range(stop)):
        labels = torch.tensor([example.labels.tolist()])
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([example.input_ids.tolist()]), labels=labels).logits
        assert labels[0, -1] == 1
        losses.append(-float(logits[0, -1].log_softmax(-1)[1]))
    found = document["teacher"]["end_cross_entropy"]
    assert found["count"] == len(losses)
    assert found["total"] == pytest.approx(sum(losses), rel=1e-4)


def test_the_unigram_entropy_is_that_of_the_training_targets(finished):
    """The yardstick beside the teacher's loss; counting inputs or padding would shift it by nats."""
    counts = Counter(token for example in miniend.open_cache(finished) for token in example.labels.tolist())
    total = sum(counts.values())
    entropy = sum(count / total * math.log(total / count) for count in counts.values())
    assert inspect_cache(finished).teacher.unigram_entropy == pytest.approx(entropy, rel=1e-9)


def test_a_teacher_no_better_than_word_frequencies_is_warned_about(material, tmp_path):
    """Nothing else in a dump would look wrong with a random checkpoint or a foreign tokenizer."""
    said = dump(material, tmp_path / "cache").said
    assert re.search(r"^warning: the teacher is not clearly better than the unigram", said, re.MULTILINE)


def test_uniform_relations_are_said_to_carry_no_information(material, tmp_path):
    """Any target KL is met for free by a uniform relation, so a user would believe in a perfect cache."""
    weak = shutil.copytree(material.teacher, tmp_path / "teacher")
    weights = load_file(weak / "model.safetensors")
    weights["encoder.block.0.layer.0.SelfAttention.q.weight"] *= 0.01
    save_file(weights, weak / "model.safetensors", metadata={"format": "pt"})
    said = dump(material, tmp_path / "cache", teacher=str(weak), signals="encoder.self").said
    assert re.search(r"encoder\.self@0: .*query 1\.000 \(carries no information\)", said)
    assert "--relation-temperature calibrated, in a new cache, sharpens them" in said
    relations = inspect_cache(tmp_path / "cache").relations
    assert "query" in relations["encoder.self@0"].carries_no_information


def test_a_rank_that_cannot_reach_the_fidelity_is_refused_with_what_to_do(material, tmp_path):
    """The search for a step would end at one so small that every coefficient saturates: garbage without a sign."""
    with pytest.raises(ConfigurationError, match=r"no step reaches a relation KL of .* with rank 1 .*--relation-rank"):
        dump(material, tmp_path / "cache", relation_rank=1, relation_kl=1e-7)


def test_top_k_beyond_the_vocabulary_is_planned_as_what_is_stored(material, tmp_path):
    """A reader that goes by the plan would look for columns, and for a missing tail, that are not there."""
    cache = miniend.open_cache(dump(material, tmp_path / "cache", top_k=10_000).cache)
    assert cache.plan.signals.logits.k == len(material.tokenizer)
    assert set(np.diff(cache[0].logits.head_starts)) == {len(material.tokenizer)}


def test_segments_of_another_plan_are_refused(material, tmp_path):
    """Sound in themselves, they would be dumped as if they were this corpus."""
    ours, other = (dump(material, tmp_path / f"{seed}", seed=seed).cache for seed in (0, 1))
    for name in ("segments/train-000000", "shards"):
        shutil.rmtree(ours / name)
    shutil.copytree(other / "segments" / "train-000000", ours / "segments" / "train-000000")
    with pytest.raises(CacheMismatchError, match="belongs elsewhere"):
        dump(material, ours, seed=0)


def test_a_dump_whose_cores_turn_out_to_be_shared_says_so_once(material, tmp_path, monkeypatch):
    """Training said it; a dump, which takes hours too, did not."""
    seconds = iter(range(0, 100_000, 1000))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setattr("miniend.runtime.cores.SECONDS_BETWEEN_LOOKS", 0.0)
    monkeypatch.setattr("miniend.runtime.cores._seconds_of_others", lambda: next(seconds))
    said = []
    settings = SETTINGS | {
        "teacher": str(material.teacher),
        "corpus": str(material.corpus),
        "cache": tmp_path / "cache",
    }
    dump_teacher(DumpConfig(**settings), said.append)
    assert sum(line.startswith("hint: other processes use") for line in said) == 1
