"""Fine-tune one model on one task with one seed, by transformers' Trainer.

The settings are from the MiniEnD authors' sibling projects (StarK, MiniDisc): AdamW, weight decay 0.01, clipping at 5, a warm-up
over a tenth of the steps, then linear decay. We take the last weights and do not choose an epoch by the development set.

T5 itself is fine-tuned with Adafactor, which scales steps by each matrix's RMS. T5's embeddings start at RMS 1, so AdamW at its
usual rates hardly moves them in the few steps of a small task. That matters for a student that was trained little.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ...errors import TrainingError
from ...models.optimizer_settings import OPTIMIZERS
from ...runtime.devices import reset_accelerate
from ...runtime.progress import progress_bar, quiet_transformers, waiting
from ...runtime.temporary import temporary_folder
from ..protocols.protocol import Predictions, TaskProtocol
from ..tasks.examples import ExampleT
from ..tasks.task import AnswerT
from .batch_order import by_length

WEIGHT_DECAY, CLIP, WARMUP_SHARE = 0.01, 5.0, 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class FineTuning:
    """The settings of a fine-tuning, without model and data."""

    optimizer: str
    learning_rate: float | None
    """None for a model that is not trained."""
    epochs: int
    batch_size: int
    seed: int
    bf16: bool
    device: torch.device
    bars: bool = True
    """Whether progress is shown."""

    def arguments(self, folder: str, examples: int) -> Any:
        """Return Trainer's settings for one pass over this many examples in their order, without any writing or logging."""
        from transformers import Seq2SeqTrainingArguments

        on_cpu = self.device.type == "cpu"
        steps = math.ceil(examples / self.batch_size)
        arguments = Seq2SeqTrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=self.batch_size,
            per_device_eval_batch_size=self.batch_size,
            learning_rate=self.learning_rate or 0.0,
            num_train_epochs=1,
            train_sampling_strategy="sequential",
            warmup_steps=round(WARMUP_SHARE * steps),
            lr_scheduler_type="linear",
            weight_decay=WEIGHT_DECAY,
            max_grad_norm=CLIP,
            seed=self.seed,
            bf16=self.bf16,
            use_cpu=on_cpu,
            dataloader_pin_memory=not on_cpu,
            logging_nan_inf_filter=False,
            logging_strategy="no",
            save_strategy="no",
            eval_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        if arguments.n_gpu > 1:
            arguments._n_gpu = 1  # else the batch size would grow with the number of GPUs
        return arguments

    def torch_optimizer(self) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
        """Return the optimizer's class and settings, as Trainer takes them."""
        class_name, options = OPTIMIZERS[self.optimizer]
        return getattr(torch.optim, class_name), {"lr": self.learning_rate, **options}


def fine_tune_and_predict(
    protocol: TaskProtocol[ExampleT, AnswerT],
    train: Sequence[ExampleT],
    development: Mapping[str, Sequence[ExampleT]],
    settings: FineTuning,
    title: str,
    keep: Callable[[Any], object] | None = None,
) -> dict[str, Predictions[AnswerT]]:
    """Fine-tune a fresh model, and return its predictions by development set. The model is dropped after `keep` has had it.

    Raises TrainingError if the loss, the weights or the predictions are not finite.
    """
    from transformers import PrinterCallback

    with waiting(f"{title}, tokens", shown=settings.bars):
        features = protocol.features(train, targets=True)
    lengths = [len(feature["input_ids"]) for feature in features]
    visits = [features[i] for i in by_length(lengths, settings.epochs, settings.batch_size, settings.seed)]
    with (
        temporary_folder() as folder,
        quiet_transformers(),
        _accelerate_forgets(),
        closing(_bar_callback(title, settings.bars)) as callback,
    ):
        arguments = settings.arguments(str(folder), len(visits))
        trainer = protocol.trainer(protocol.fresh_model(settings.seed), arguments, visits)
        trainer.optimizer_cls_and_kwargs = settings.torch_optimizer()  # Seq2SeqTrainer does not take it as an argument
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(callback)
        loss = trainer.train().training_loss
        if not math.isfinite(loss):
            raise TrainingError(
                f"{title}: the loss is not finite at learning rate {settings.learning_rate:g}; give a lower --learning-rate"
            )
        if not all(bool(parameter.isfinite().all()) for parameter in trainer.model.parameters()):
            raise TrainingError(
                f"{title}: the weights are not finite after training at learning rate {settings.learning_rate:g}; give a lower "
                "--learning-rate, or leave --bf16 out"
            )
        predictions = {name: protocol.predict(trainer, examples) for name, examples in development.items()}
        if keep is not None:
            keep(trainer.model)
        return predictions


def predict(
    protocol: TaskProtocol[ExampleT, AnswerT],
    development: Mapping[str, Sequence[ExampleT]],
    settings: FineTuning,
    title: str,
) -> dict[str, Predictions[AnswerT]]:
    """Return the predictions of the checkpoint as it is, by development set."""
    from transformers import PrinterCallback

    with (
        temporary_folder() as folder,
        quiet_transformers(),
        _accelerate_forgets(),
        closing(_bar_callback(title, settings.bars)) as callback,
    ):
        trainer = protocol.trainer(protocol.fresh_model(settings.seed), settings.arguments(str(folder), 0), [])
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(callback)
        return {name: protocol.predict(trainer, examples) for name, examples in development.items()}


@contextmanager
def _accelerate_forgets() -> Iterator[None]:
    """Inside, Trainer may change accelerate's state; afterwards the state is reset."""
    try:
        yield
    finally:
        reset_accelerate()


def _bar_callback(title: str, shown: bool) -> Any:
    """Return a callback that shows the progress of steps and of predictions, or nothing; close it."""
    from transformers import TrainerCallback

    class Bar(TrainerCallback):  # type: ignore[misc, unused-ignore]
        bar: Any = None

        def on_train_begin(self, _arguments: Any, state: Any, _control: Any, **_others: Any) -> None:
            self.close()
            self.bar = progress_bar(title, state.max_steps, "step", shown=shown)

        def on_step_end(self, _arguments: Any, _state: Any, _control: Any, **_others: Any) -> None:
            self.bar.update(1)

        def on_train_end(self, _arguments: Any, _state: Any, _control: Any, **_others: Any) -> None:
            self.close()

        def on_prediction_step(
            self, _arguments: Any, _state: Any, _control: Any, eval_dataloader: Any, **_others: Any
        ) -> None:
            if self.bar is None:
                self.bar = progress_bar(f"{title}, answers", len(eval_dataloader), "batch", kept=False, shown=shown)
            self.bar.update(1)

        def on_predict(self, _arguments: Any, _state: Any, _control: Any, **_others: Any) -> None:
            self.close()

        def close(self) -> None:
            if self.bar is not None:
                self.bar.close()
            self.bar = None

    return Bar()
