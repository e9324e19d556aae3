"""Size and speed: the paper's GFLOPs, measured of a model that stays as it was."""

import pytest
import torch
from torch.overrides import TorchFunctionMode
from transformers import T5Config, T5ForConditionalGeneration

from miniend.evaluation.checkpoint import load_checkpoint
from miniend.evaluation.facts import gflops, model_facts
from miniend.models.families import parameter_counts

T5_BASE = {"d_model": 768, "d_kv": 64, "num_heads": 12, "d_ff": 3072, "num_layers": 12}
PAPER_STUDENT = {"d_model": 384, "d_kv": 32, "num_heads": 12, "d_ff": 1536, "num_layers": 6}


def on_meta(**shape):
    with torch.device("meta"):
        return T5ForConditionalGeneration(T5Config(vocab_size=32128, **shape))


@pytest.mark.parametrize(("shape", "printed"), [(T5_BASE, "25.4"), (PAPER_STUDENT, "3.18")])
def test_gflops_are_those_of_the_paper(shape, printed):
    """T5-base and the 6L384H student of its table."""
    assert f"{gflops(on_meta(**shape)):.3g}" == printed


def test_a_gated_feed_forward_of_two_thirds_costs_the_same():
    """3 matrices of 1024 against 2 of 1536, as sizes of students assume."""
    gated = on_meta(**PAPER_STUDENT | {"d_ff": 1024, "feed_forward_proj": "gated-gelu"})
    assert gflops(gated) == pytest.approx(gflops(on_meta(**PAPER_STUDENT)))


def test_speed_is_measured_and_the_device_named(model_folder):
    """The model itself stays as it was."""
    model = load_checkpoint(str(model_folder)).model
    facts = model_facts(model, torch.device("cpu"))
    assert facts.latency_ms > 0
    assert facts.examples_per_second > 0
    assert facts.device.startswith("CPU, 1 thread")
    assert facts.gflops == gflops(model)
    assert (facts.parameters, facts.parameters_without_embeddings) == parameter_counts(model)


def test_time_is_taken_of_the_work_that_gflops_count(model_folder, monkeypatch):
    """128 positions of either side, the head at one; the median of 7 runs of one example and of 3 of 32, after one of each."""
    model, work, clock = load_checkpoint(str(model_folder)).model, [], [0.0]
    seconds = iter([100, 1, 7, 2, 6, 3, 5, 4, 100, 1, 3, 2])
    monkeypatch.setattr("miniend.runtime.devices.perf_counter", lambda: clock[0])

    class Watched(TorchFunctionMode):
        """Notes whatever is computed for every row of the vocabulary: the head, in whichever way it is applied."""

        def __torch_function__(self, function, _types, arguments=(), named=None):
            found = function(*arguments, **named or {})
            if isinstance(found, torch.Tensor) and found.ndim == 3 and found.shape[-1] == model.config.vocab_size:
                work.append(tuple(found.shape[:2]))
                clock[0] += found.shape[0] * next(seconds)
            return found

    for part in (model.encoder, model.decoder):
        part.register_forward_pre_hook(
            lambda _part, _inputs, named: work.append(tuple(named["input_ids"].shape)), with_kwargs=True
        )
    with Watched():
        facts = model_facts(model, torch.device("cpu"))
    assert work == [*[(1, 128), (1, 128), (1, 1)] * 8, *[(32, 128), (32, 128), (32, 1)] * 4]
    assert (facts.latency_ms, facts.examples_per_second) == (4000.0, 0.5)
