"""Text in, text out: the common part of the protocols whose model generates its answers."""

import copy
from typing import Any

import numpy as np

from ..checkpoint import Checkpoint
from ..protocols.protocol import Feature, TaskProtocol
from ..tasks.examples import ExampleT
from ..tasks.task import AnswerT
from .batch_order import longest_first


class GeneratingProtocol(TaskProtocol[ExampleT, AnswerT]):
    """A protocol whose model is the unchanged checkpoint."""

    _checkpoint: Checkpoint

    def fresh_model(self, _seed: int) -> Any:
        """Return a copy of the checkpoint; the seed is not used. Its generation settings (a least length, ...) are dropped."""
        from transformers import GenerationConfig

        model = copy.deepcopy(self._checkpoint.model)
        config = model.config
        model.generation_config = GenerationConfig(
            decoder_start_token_id=config.decoder_start_token_id,
            eos_token_id=self._checkpoint.tokenizer.eos_token_id,
            pad_token_id=self._checkpoint.tokenizer.pad_token_id,
        )
        return model

    def trainer(self, model: Any, arguments: Any, train: list[Feature]) -> Any:
        """Return a Seq2SeqTrainer that generates when it predicts."""
        from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer

        arguments.predict_with_generate = True
        collator = DataCollatorForSeq2Seq(self._checkpoint.tokenizer)
        return Seq2SeqTrainer(model=model, args=arguments, train_dataset=train, data_collator=collator)

    def generate(self, trainer: Any, features: list[Feature], **how: Any) -> list[str]:
        """Return a text per feature; `how` are arguments of transformers' `generate`."""
        from transformers import DataCollatorWithPadding

        tokenizer = self._checkpoint.tokenizer
        trainer.data_collator = DataCollatorWithPadding(tokenizer)  # the collator of training adds empty labels
        generated = longest_first(features, lambda some: trainer.predict(some, do_sample=False, **how).predictions)
        ids = np.where(generated < 0, tokenizer.pad_token_id, generated)
        texts: list[str] = tokenizer.batch_decode(ids, skip_special_tokens=True)
        return texts
