"""An mT5-like teacher over ten scripts: what the cache holds is what its tokenizer makes of the text, whole."""

import json
from types import SimpleNamespace

import pytest

import miniend
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.corpus.tokenizer import sentinel_ids
from miniend.teacher_dump.dump import dump_teacher
from support.multilingual import PARAGRAPHS
from support.spans import restored
from support.tiny_t5 import build_tiny_t5
from support.tiny_tokenizer import build_tiny_mt5_tokenizer

TEXTS = [" ".join(PARAGRAPHS[i:] + PARAGRAPHS[:i]) for i in range(len(PARAGRAPHS))] + list(PARAGRAPHS)


@pytest.fixture(scope="module", params=["jsonl", "txt"])
def dumped(request, tmp_path_factory):
    """Every whole segment of the text, dumped with nothing held out."""
    root = tmp_path_factory.mktemp("multilingual")
    tokenizer = build_tiny_mt5_tokenizer(TEXTS, 700, sentinels=16)
    teacher = build_tiny_t5(root / "mt5", tokenizer, "mt5", tied=False, layers=(1, 1))
    corpus = root / f"corpus.{request.param}"
    if request.param == "txt":
        corpus.write_text("\n\n".join(TEXTS), encoding="utf-8")
    else:
        lines = (json.dumps({"text": text}, ensure_ascii=index % 2 == 0) + "\n" for index, text in enumerate(TEXTS))
        corpus.write_text("".join(lines), encoding="utf-8")
    stream = [ids for text in TEXTS for ids in tokenizer(text, add_special_tokens=False).input_ids]
    settings = {"input_length": 32, "calibration_examples": 6, "batch_size": 16, "signals": "encoder.self"}
    config = DumpConfig(
        teacher=str(teacher),
        corpus=str(corpus),
        cache=root / "cache",
        examples=len(stream) // SEGMENT,
        validation_examples=0,
        device="cpu",
        **settings,
    )
    dump_teacher(config, log=lambda _line: None)
    return SimpleNamespace(cache=miniend.open_cache(root / "cache"), stream=stream, tokenizer=tokenizer)


SEGMENT = 34
"""Raw tokens behind an example of 32 input tokens."""


def segments(dumped):
    return [restored(example, sentinel_ids(dumped.tokenizer)) for example in dumped.cache]


def test_inputs_and_targets_reassemble_to_the_tokenizers_ids_with_nothing_lost_at_any_border(dumped):
    """A character cut in two by a buffer, or a token lost between two segments, would show in scripts nobody reads here."""
    assert dumped.cache.plan.task.corrupted.segment_length == SEGMENT
    assert len(dumped.stream) > 30 * SEGMENT
    joined = [token for segment in segments(dumped) for token in segment]
    assert joined == dumped.stream[: len(joined)]
    assert len(dumped.stream) - len(joined) < SEGMENT


def test_decoding_gives_the_text_back_as_the_tokenizer_itself_does(dumped):
    """Ids that agree are no use to a student whose tokenizer lost its combining characters on the way into the cache."""
    kept = dumped.cache.tokenizer
    joined = [token for segment in segments(dumped) for token in segment]
    assert kept.unk_token_id not in joined
    decoded = kept.decode(joined)
    assert decoded == dumped.tokenizer.decode(joined)
    assert " ".join(TEXTS).startswith(decoded)
    start = 0
    for text in TEXTS[:-1]:
        ids = kept(text, add_special_tokens=False).input_ids
        found = joined[start : start + len(ids)]
        assert found == ids[: len(found)]
        assert text.startswith(kept.decode(found))
        start += len(ids)


def test_no_sentinel_stands_where_the_text_had_none(dumped):
    """mT5's sentinels are pieces of the vocabulary itself."""
    special = {0, 1, *sentinel_ids(dumped.tokenizer)}
    assert not special.intersection(token for segment in segments(dumped) for token in segment)
    for example in dumped.cache:
        used = [t for t in example.input_ids.tolist() if t in special - {1}]
        assert used == sentinel_ids(dumped.tokenizer)[: len(used)]
        assert len(set(used)) == len(used) > 0
