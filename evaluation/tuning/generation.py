"""Text in, text out: what the protocols share whose model generates its answers."""

import copy
from typing import Any

import numpy as np

from ..checkpoint import Checkpoint
from ..protocols.protocol import Feature, TaskProtocol
from ..tasks.examples import ExampleT
from ..tasks.task import AnswerT
from .batch_order import longest_first


class GeneratingProtocol(TaskProtocol[ExampleT, AnswerT]):
    """A protocol whose model is the checkpoint as it is."""

    _checkpoint: Checkpoint

    def fresh_model(self, _seed: int) -> Any:
        """A copy of the checkpoint; nothing of it is drawn. Its own habits of generating (a least length, ...) are left out."""
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
        """A Seq2SeqTrainer that generates when it predicts."""
        from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer

        arguments.predict_with_generate = True
        collator = DataCollatorForSeq2Seq(self._checkpoint.tokenizer)
        return Seq2SeqTrainer(model=model, args=arguments, train_dataset=train, data_collator=collator)

    def generate(self, trainer: Any, features: list[Feature], **how: Any) -> list[str]:
        """A text per feature; `how` is what transformers' `generate` takes."""
        from transformers import DataCollatorWithPadding

        tokenizer = self._checkpoint.tokenizer
        trainer.data_collator = DataCollatorWithPadding(tokenizer)  # that of training adds empty labels
        found = longest_first(features, lambda some: trainer.predict(some, do_sample=False, **how).predictions)
        ids = np.where(found < 0, tokenizer.pad_token_id, found)
        texts: list[str] = tokenizer.batch_decode(ids, skip_special_tokens=True)
        return texts
