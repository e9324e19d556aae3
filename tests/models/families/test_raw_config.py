"""The family that a config.json names, and what is none."""

import pytest

from miniend.errors import CheckpointError
from miniend.models.families import model_type_of


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"model_type": "t5"}, "t5"),
        ({"model_type": "umt5", "architectures": ["Whatever"]}, "umt5"),
        ({"architectures": ["T5ForConditionalGeneration"]}, "t5"),
        ({"architectures": ["T5WithLMHeadModel"]}, "t5"),
        ({"architectures": ["MT5Model"]}, "mt5"),
    ],
)
def test_the_family_member_is_read_from_type_or_architecture(config, kind):
    """Old checkpoints name no model_type, some an architecture of a former transformers."""
    assert model_type_of(config) == kind


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model_type": "bert", "architectures": ["T5ForConditionalGeneration"]},
        {"model_type": "longt5"},
        {"architectures": ["LongT5ForConditionalGeneration"]},
        {"architectures": ["BartForConditionalGeneration"]},
        {"architectures": []},
    ],
)
def test_everything_else_is_refused_by_name(config):
    """A relative with other attention would load with random parts."""
    with pytest.raises(CheckpointError, match="supported are t5, mt5, umt5") as refused:
        model_type_of(config)
    assert str(config.get("model_type")) in str(refused.value)
