"""The number of parameters that a config.json describes is the number that transformers makes."""

import pytest
import transformers

from miniend.models.families import family_named
from miniend.models.size import student_config
from miniend.models.start.fresh import build_student
from miniend.models.stated_sizes import stated_parameters


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["t5", "mt5", "umt5"])
def test_stated_parameters_are_those_of_the_model(kind, tied):
    teacher = {"model_type": kind, "vocab_size": 50, "feed_forward_proj": "relu" if kind == "t5" else "gated-gelu"}
    config = student_config("3E2D64H", teacher)
    built = build_student(config, tied, seed=0)
    assert stated_parameters(config, tied) == sum(parameter.numel() for parameter in built.parameters())


def test_t5_small_has_60_million_parameters():
    """From the T5 paper (arXiv 1910.10683): Small has about 60 million; the exact number is transformers' own."""
    config = {"model_type": "t5", "vocab_size": 32128, "d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8}
    assert stated_parameters(config, tied=True) == 60_506_624


def test_nothing_is_allocated_for_the_largest_teacher(monkeypatch):
    """A T5-11B would take 45 GB; its tensors must be on torch's meta device."""
    architecture = getattr(transformers, family_named("t5").architecture)
    devices = set()
    made = architecture.__init__

    def watched(self, *arguments, **options):
        made(self, *arguments, **options)
        devices.update(parameter.device.type for parameter in self.parameters())

    monkeypatch.setattr(architecture, "__init__", watched)
    stated_parameters({"model_type": "t5", "vocab_size": 32128, "d_model": 1024, "d_ff": 65536, "num_layers": 24}, True)
    assert devices == {"meta"}
