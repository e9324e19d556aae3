"""Model cards: they say what the student is, and what it cannot do."""

from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from miniend.student_train.run.model_card import ModelCardFacts, Term, model_card

FACTS = ModelCardFacts(
    size="t5, 6+6 layers, d_model 384",
    parameters=37_123_456,
    parameters_without_embeddings=24_800_000,
    teacher="google-t5/t5-base",
    teacher_digest="ab" * 32,
    cache_digest="cd" * 32,
    corpus="python-docs",
    objective="miniend-e",
    terms=(
        Term(name="decoder.self", formula="KL of softmax(A Aᵀ/√d_r), A in Q|K|V", weight=1.0),
        Term(name="logit", formula="KL", weight=0.5),
    ),
    generates=True,
    relation_heads=24,
    relation_temperatures={"decoder.self@11": {"query": 6.25, "key": 1.0}},
    fidelity={
        "encoder.self@11 query": {"mean": "1.0e-04", "99th percentile": "2.0e-03"},
        "decoder.cross@11 query_key": {"mean": "8.5e-04", "99th percentile": "4.0e-03"},
    },
    logit_fidelity="Next-token distributions: `hybrid`, 13.1 entries.",
    steps=10_000,
    batch_size=64,
    tokens_seen=123_456_789,
    optimizer="adamw",
    learning_rate=3e-4,
    schedule="linear",
    initial_loss=10.5,
    final_loss=0.75,
    validation={"cross-entropy": 3.25},
    unreached=("decoder block 5: whole feed-forward",),
    software={"torch": "2.13.0", "miniend": "0.1.0"},
)  # fmt: skip


def test_the_hub_can_read_the_front_matter():
    """A card that does not parse loses its tags and its widget."""
    data = ModelCard(model_card(replace(FACTS, teacher='C:\\models\\"mine"'))).data.to_dict()
    assert data["library_name"] == "transformers"
    assert data["pipeline_tag"] == "text2text-generation"
    assert "distillation" in data["tags"]
    assert data["teacher"] == 'C:\\models\\"mine"'


@pytest.mark.parametrize(
    "fact",
    [
        "37,123,456 parameters", "24,800,000 without", "google-t5/t5-base", "ab" * 32, "cd" * 32, "python-docs", "`miniend-e`",
        "| logit | KL | 0.5 |", "Relation heads: 24", "6.25", "8.5e-04", "13.1 entries",
        "10,000", "123,456,789", "adamw", "0.0003, linear",
        "10.5000", "0.7500", "3.2500", "decoder block 5: whole feed-forward", "2.13.0", "2305.12330", "2012.15828",
        "AutoModelForSeq2SeqLM.from_pretrained",
    ],
)  # fmt: skip
def test_every_fact_is_on_the_card(fact):
    """A field that no line shows is a field that nobody fills in right."""
    assert fact in model_card(FACTS)


def test_a_student_whose_head_was_not_trained_says_so():
    """It generates noise, fluently, and its perplexity means nothing."""
    warning = "must be fine-tuned before it generates"
    assert warning in model_card(replace(FACTS, generates=False))
    assert warning not in model_card(FACTS)


def test_tables_keep_their_columns():
    """A bar inside a formula, or a relation that one site lacks, shifts every number one column on."""
    tables = [line for line in model_card(FACTS).splitlines() if line.startswith("|")]
    counts = [line.replace("\\|", "").count("|") for line in tables]
    assert "Q\\|K\\|V" in model_card(FACTS)
    starts = [place for place, line in enumerate(tables) if line.startswith("| ---")]
    for start, stop in zip(starts, [*[place - 1 for place in starts[1:]], len(tables)], strict=True):
        assert len(set(counts[start - 1 : stop])) == 1


def test_what_a_run_does_not_have_is_not_on_its_card():
    """Empty headings and `None` read as missing data."""
    none = {"relation_temperatures": {}, "fidelity": {}, "logit_fidelity": "", "validation": {}, "unreached": ()}
    bare = replace(FACTS, relation_heads=None, **none)
    text = model_card(bare)
    assert not any(word in text for word in ("Relation heads", "Fidelity", "cannot reach", "sharpen", "None"))
