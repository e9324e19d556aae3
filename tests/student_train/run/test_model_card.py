"""Model cards: they say what the student is, and what it cannot do."""

from dataclasses import replace

import pytest
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from transformers.pipelines import get_supported_tasks

from miniend.student_train.run.model_card import ModelCardFacts, Term, model_card

FACTS = ModelCardFacts(
    size="t5, 6+6 layers, d_model 384",
    parameters=37_123_456,
    parameters_without_embeddings=24_800_000,
    encoder=False,
    mapped=None,
    example="The <extra_id_0> sings.",
    padded_to=None,
    right_in_transformers_4=True,
    tokenizer_of_version_5=False,
    generates_without_cache=False,
    teacher="google-t5/t5-base",
    teacher_on_hub=True,
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
    compared={"encoder_hidden.2-4": {"teacher": "encoder.hidden@3", "validation": "0.4121"}},
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
    data = ModelCard(model_card(FACTS)).data.to_dict()
    assert data["library_name"] == "transformers"
    assert data["pipeline_tag"] in get_supported_tasks()
    assert data["license"] == "unknown"
    assert data["base_model"] == data["teacher"] == "google-t5/t5-base"
    assert "distillation" in data["tags"]
    local = ModelCard(model_card(replace(FACTS, teacher='C:\\models\\"mine"', teacher_on_hub=False))).data.to_dict()
    assert local["teacher"] == 'C:\\models\\"mine"'
    assert "base_model" not in local


@pytest.mark.parametrize(
    "fact",
    [
        "37,123,456 parameters", "24,800,000 without", "google-t5/t5-base", "ab" * 32, "cd" * 32, "python-docs", "`miniend-e`",
        "| `logit` | `KL` | 0.5 |", "Relation heads: 24", "6.25", "8.5e-04", "13.1 entries",
        "10,000", "123,456,789", "adamw", "0.0003, linear",
        "10.5000", "0.7500", "3.2500", "decoder block 5: whole feed-forward", "2.13.0", "2305.12330", "2012.15828",
        "AutoModelForSeq2SeqLM.from_pretrained", "The <extra_id_0> sings.", "model.generate", "put the license into",
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


names = st.lists(
    st.sampled_from(
        ["\n---\n", "\n# A title\n", "<script>", "`", "``", "|", "\\", "*", "]( x )", "\x1b[31m", ": ", '"', "a", " "]
    )
    | st.characters(),
    max_size=8,
).map("".join)


def structure(text):
    """The kinds of a card's elements, one after the other, as GitHub and the hub see them."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text.split("---\n", 2)[2])
    return [token.type for parent in tokens for token in (parent, *(parent.children or ()))]


def card_of(name):
    terms = (Term(name=name, formula=name, weight=1.0),)
    relations = {"relation_temperatures": {name: {"query": 1.0}}, "fidelity": {name: {"mean": "1"}}}
    return model_card(
        replace(FACTS, teacher=name, corpus=name, objective=name, terms=terms, **relations, unreached=(name,))
    )


@given(name=names)
def test_no_name_changes_what_a_card_is_made_of(name):
    """The teacher, the corpus and the sites are named by whoever made the cache: a name must not become a heading or a script."""
    assert structure(card_of(name)) == structure(card_of("plain"))
    data = ModelCard(card_of(name)).data.to_dict()
    assert set(data) == set(ModelCard(card_of("plain")).data.to_dict())
    assert all(character.isprintable() or character == "\n" for character in card_of(name))


@pytest.mark.parametrize("generates", [True, False])
def test_the_card_says_which_versions_of_transformers_compute_the_same(generates):
    """Version 4 opens such a student without a word, and its logits are sqrt(d_model) too large."""
    facts = replace(FACTS, generates=generates)
    assert "Versions 4 and 5 of transformers open this model and compute the same" in model_card(facts)
    assert "extra_special_tokens={}" not in model_card(facts)
    wrong = model_card(replace(facts, right_in_transformers_4=False, tokenizer_of_version_5=True))
    assert "**Use version 5 of transformers.**" in wrong
    assert "extra_special_tokens={}" in wrong


def test_a_decoder_that_is_deeper_than_the_encoder_says_that_it_generates_without_a_cache():
    """`generate` of both versions ended in an IndexError."""
    assert "use_cache" not in model_card(FACTS)
    assert "`use_cache: false`" in model_card(replace(FACTS, generates_without_cache=True))
