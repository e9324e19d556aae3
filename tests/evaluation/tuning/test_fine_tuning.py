"""One fine-tuning: the settings that Trainer is given, what it trains and predicts, and a loss that is not finite."""

import pytest
import torch
from transformers import Seq2SeqTrainer

from miniend.errors import TrainingError
from miniend.evaluation.checkpoint import load_checkpoint
from miniend.evaluation.protocols.protocols import HeadProtocol, TextProtocol
from miniend.evaluation.tasks.examples import LabelledExample
from miniend.evaluation.tasks.known import TASKS
from miniend.evaluation.tuning import fine_tuning as module
from miniend.evaluation.tuning.fine_tuning import FineTuning, fine_tune_and_predict
from miniend.student_train.run.processes import Processes

EXAMPLES = [LabelledExample((f"a {word} film",), float(n % 2)) for n, word in enumerate(("dull", "fine") * 5)]


@pytest.fixture
def checkpoint(model_folder):
    return load_checkpoint(str(model_folder))


@pytest.fixture
def settings():
    """settings(**changed): a FineTuning of two epochs on the CPU."""

    def build(**changed):
        chosen = {"optimizer": "adamw", "learning_rate": 1e-3, "epochs": 2, "batch_size": 4, "seed": 3, "bf16": False}
        return FineTuning(**chosen | {"device": torch.device("cpu")} | changed)

    return build


def test_the_settings_are_those_of_the_authors_sibling_projects(settings, tmp_path):
    """AdamW, decay 0.01, clipping at 5, a tenth of 300 steps of warm-up; nothing is logged, saved or reported."""
    assert settings().torch_optimizer() == (torch.optim.AdamW, {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8})
    found = settings(bf16=True, epochs=10).arguments(str(tmp_path), 1198)
    assert (found.learning_rate, found.num_train_epochs, found.warmup_steps, found.seed) == (1e-3, 1, 30, 3)
    assert found.train_sampling_strategy == "sequential"
    assert (found.per_device_train_batch_size, found.per_device_eval_batch_size) == (4, 4)
    assert (found.weight_decay, found.max_grad_norm, found.lr_scheduler_type) == (0.01, 5.0, "linear")
    assert (found.bf16, found.use_cpu, found.n_gpu) == (True, True, 0)
    assert (found.logging_strategy, found.save_strategy, found.eval_strategy, found.report_to) == ("no", "no", "no", [])
    assert not settings().arguments(str(tmp_path), 118).bf16


def test_every_example_is_trained_on_and_every_development_set_predicted(checkpoint, settings, monkeypatch):
    """In bars of steps and then of batches, each from its beginning."""
    bars = []

    class Bar:
        def __init__(self, title, total, unit, shown, kept=True):
            self.title, self.total, self.unit, self.done, self.closed = title, total, unit, 0, False
            bars.append(self)

        def update(self, steps):
            assert not self.closed
            self.done += steps

        def close(self):
            self.closed = True

    monkeypatch.setattr(module, "progress_bar", Bar)
    protocol = TextProtocol(TASKS["sst2"], checkpoint, 32)
    development = {"first": EXAMPLES[:9], "second": EXAMPLES[:2]}
    found = fine_tune_and_predict(protocol, EXAMPLES, development, settings(), "sst2")
    assert {name: len(one.answers) for name, one in found.items()} == {"first": 9, "second": 2}
    assert [(bar.title, bar.total, bar.done, bar.unit) for bar in bars] == [
        ("sst2", 5, 5, "step"),
        ("sst2, answers", 3, 3, "batch"),
        ("sst2, answers", 1, 1, "batch"),
    ]
    assert all(bar.closed for bar in bars)


def test_weights_that_are_not_finite_are_an_error_even_if_the_loss_is(checkpoint, settings, monkeypatch):
    """A model that generates answers with them says something, and would be scored as if it were a model."""
    train = Seq2SeqTrainer.train

    def broken(self, *arguments, **options):
        found = train(self, *arguments, **options)
        self.model.shared.weight.data[7] = float("nan")
        return found

    monkeypatch.setattr(Seq2SeqTrainer, "train", broken)
    with pytest.raises(TrainingError, match="sst2: the weights are not finite after training"):
        fine_tune_and_predict(TextProtocol(TASKS["sst2"], checkpoint, 32), EXAMPLES, {}, settings(), "sst2")


@pytest.fixture
def trainers(monkeypatch):
    """The trainers of all protocols with a head, once they are made, and the shapes of the batches that each was to see."""
    made, build = [], HeadProtocol.trainer

    def trainer(*arguments):
        made.append(build(*arguments))
        made[-1].shapes = [tuple(batch["input_ids"].shape) for batch in made[-1].get_train_dataloader()]
        return made[-1]

    monkeypatch.setattr(HeadProtocol, "trainer", trainer)
    return made


def test_examples_are_visited_once_an_epoch_in_batches_of_like_length(checkpoint, settings, trainers):
    protocol = HeadProtocol(TASKS["sst2"], checkpoint, 32)
    examples = [LabelledExample((" ".join(["film"] * (1 + n % 8)),), float(n % 2)) for n in range(32)]
    fine_tune_and_predict(protocol, examples, {}, settings(epochs=3), "sst2")
    (trainer,) = trainers
    assert sum(count for count, _ in trainer.shapes) == 3 * 32
    fitting = sorted(len(feature["input_ids"]) for feature in protocol.features(examples, targets=False))
    visits = [list(feature["input_ids"]) for feature in trainer.train_dataset]
    assert sorted(map(len, visits)) == sorted(3 * fitting)
    padded = 4 * sum(length for _, length in trainer.shapes)
    assert padded < 1.15 * sum(map(len, visits))  # drawn batches of four pad by more than a third


def test_the_precision_of_a_fine_tuning_is_not_imposed_on_what_comes_after(checkpoint, settings):
    """A comparison distils and fine-tunes in turn, in one process, of which accelerate has one state."""
    fine_tune_and_predict(HeadProtocol(TASKS["sst2"], checkpoint, 32), EXAMPLES, {}, settings(bf16=True), "sst2")
    Processes("cpu").close()


def test_adafactor_moves_each_matrix_by_its_own_size(checkpoint, settings, trainers):
    """T5's embeddings are large and its projections small; AdamW moves both alike."""
    moved = {}
    for name in ("adamw", "adafactor"):
        protocol = HeadProtocol(TASKS["sst2"], checkpoint, 32)
        before = {key: tensor.clone() for key, tensor in protocol.fresh_model(3).state_dict().items()}
        fine_tune_and_predict(protocol, EXAMPLES, {}, settings(optimizer=name, epochs=1, batch_size=10), "sst2")
        after = trainers[-1].model.state_dict()
        large, small = "transformer.shared.weight", "transformer.encoder.block.0.layer.0.SelfAttention.q.weight"
        moved[name] = (after[large] - before[large]).abs().max() / (after[small] - before[small]).abs().max()
        sizes = before[large].square().mean().sqrt() / before[small].square().mean().sqrt()
    assert moved["adamw"] == pytest.approx(1.0, rel=0.2)
    assert moved["adafactor"] > sizes / 3 > 1.5 * moved["adamw"]


def test_the_seed_decides_the_head(checkpoint, settings):
    """At a learning rate that changes nothing, what is predicted is what was drawn."""
    protocol = HeadProtocol(TASKS["stsb"], checkpoint, 32)
    pairs = [LabelledExample((f"a {n}", "film"), n / 5) for n in range(12)]

    def similarities(seed):
        tuned = fine_tune_and_predict(protocol, pairs, {"dev": pairs}, settings(seed=seed, learning_rate=1e-9), "stsb")
        return tuned["dev"].answers

    one, same, other = (similarities(seed) for seed in (1, 1, 2))
    assert one == same
    assert one != pytest.approx(other, rel=1e-3)


def test_a_loss_that_is_not_finite_is_refused(checkpoint, settings):
    """Trainer would pass over it and count it as nothing; the scores would be those of a broken model."""
    checkpoint.model.shared.weight.data.fill_(float("nan"))
    protocol = TextProtocol(TASKS["sst2"], checkpoint, 32)
    with pytest.raises(TrainingError, match=r"sst2: the loss is not finite at learning rate 0\.001; give a lower"):
        fine_tune_and_predict(protocol, EXAMPLES, {"dev": EXAMPLES}, settings(), "sst2")
