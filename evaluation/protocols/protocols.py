"""Two ways to present a task with labels to a model: a fresh head on the whole encoder-decoder, or questions and answers as text.

*head*: transformers' T5ForSequenceClassification, and the same for mT5 and umT5. Encoder and decoder read the same text,
`a </s> b </s>`, and a two-layer head reads the decoder's state at the last </s>. Similarities are trained by squared error. The
paper does not name its protocol. Its GFLOPs imply a decoder of full depth over all positions, so we assume that it used this one.

*text*: the prompts and label words of T5 (Raffel et al., JMLR 2020), with answers generated greedily. An answer that is not a
label of the task counts as wrong.
"""

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from ...errors import TrainingError
from ...models.families import family_of
from ..checkpoint import Checkpoint
from ..config import PROTOCOL_NAMES
from ..tasks.examples import LabelledExample
from ..tasks.glue_task import GlueTask
from ..tasks.task import Task
from ..tuning.batch_order import longest_first
from ..tuning.generation import GeneratingProtocol
from .protocol import Feature, Predictions, TaskProtocol
from .summary_protocol import SummaryProtocol

LABELLED_LENGTH, SUMMARISED_LENGTH = 128, 512
UNWANTED_OUTPUTS = ["past_key_values", "encoder_last_hidden_state"]
"""The outputs of the forward pass that Trainer must not gather over the whole development set."""


class HeadProtocol(TaskProtocol[LabelledExample, float]):
    """A classification or regression head on encoder and decoder."""

    learning_rates: ClassVar[tuple[float, ...]] = (1e-4, 2e-4, 3e-4)

    def __init__(self, task: GlueTask, checkpoint: Checkpoint, max_length: int) -> None:
        self._task, self._checkpoint, self._max_length = task, checkpoint, max_length
        self.settings = {"max_length": max_length}

    def fresh_model(self, seed: int) -> Any:
        """Return the checkpoint's encoder and decoder below a head drawn from the seed."""
        import transformers

        pretrained = self._checkpoint.model
        config = copy.deepcopy(pretrained.config)
        config.num_labels = len(self._task.labels) or 1
        config.problem_type = "regression" if self._task.is_regression else "single_label_classification"
        config.use_cache = False
        config.tie_word_embeddings = True  # else encoder and decoder would each learn their own embeddings
        name = family_of(pretrained).architecture.replace("ConditionalGeneration", "SequenceClassification")
        torch.manual_seed(seed)
        model = getattr(transformers, name)(config)
        model.transformer.load_state_dict(family_of(pretrained).body(pretrained))
        return model

    def features(self, examples: Sequence[LabelledExample], targets: bool) -> list[Feature]:
        """Return `input_ids`, every text followed by EOS, shortened from the longest text on, and `labels`.

        A label is a class number or a similarity.
        """
        eos = self._checkpoint.tokenizer.eos_token_id
        columns = [self._checkpoint.encode(list(texts)) for texts in zip(*(e.texts for e in examples), strict=True)]
        features: list[Feature] = []
        for example, *parts in zip(examples, *columns, strict=True):
            fitted = shorten(parts, self._max_length - len(parts))
            features.append({"input_ids": [token for part in fitted for token in [*part, eos]]})
            if targets:
                features[-1]["labels"] = example.label if self._task.is_regression else int(example.label)
        return features

    def trainer(self, model: Any, arguments: Any, train: list[Feature]) -> Any:
        """Return a Trainer that pads each batch to its longest example."""
        from transformers import DataCollatorWithPadding, Trainer

        collator = DataCollatorWithPadding(self._checkpoint.tokenizer)
        return Trainer(model=model, args=arguments, train_dataset=train, data_collator=collator)

    def predict(self, trainer: Any, examples: Sequence[LabelledExample]) -> Predictions[float]:
        """Return the class of the largest logit, or the similarity that the head gives."""
        features = self.features(examples, targets=False)
        outputs = longest_first(features, lambda some: trainer.predict(some, ignore_keys=UNWANTED_OUTPUTS).predictions)
        logits = np.asarray(outputs, np.float64)
        if strange := int((~np.isfinite(logits).all(-1)).sum()):
            raise TrainingError(
                f"{self._task.name}: {strange:,} of {len(logits):,} predictions are not finite after fine-tuning; give a lower "
                "--learning-rate, or leave --bf16 out"
            )
        chosen = logits[:, 0] if self._task.is_regression else logits.argmax(-1)
        return Predictions([float(value) for value in chosen], 0)


class TextProtocol(GeneratingProtocol[LabelledExample, float]):
    """Prompt in, label word out."""

    learning_rates: ClassVar[tuple[float, ...]] = (1e-4, 3e-4, 1e-3)

    def __init__(self, task: GlueTask, checkpoint: Checkpoint, max_length: int) -> None:
        self._task, self._checkpoint, self._max_length = task, checkpoint, max_length
        self.settings = {"max_length": max_length}

    def features(self, examples: Sequence[LabelledExample], targets: bool) -> list[Feature]:
        """Return `input_ids` of the prompt and EOS, cut at the end if it is too long, and `labels` of the answer and EOS."""
        eos = self._checkpoint.tokenizer.eos_token_id
        prompts = self._checkpoint.encode([self._task.prompt(example.texts) for example in examples])
        features: list[Feature] = [{"input_ids": [*prompt[: self._max_length - 1], eos]} for prompt in prompts]
        if targets:
            answers = self._checkpoint.encode([self._task.answer(example.label) for example in examples])
            for feature, answer in zip(features, answers, strict=True):
                feature["labels"] = [*answer, eos]
        return features

    def predict(self, trainer: Any, examples: Sequence[LabelledExample]) -> Predictions[float]:
        """Return greedy answers, at most as long as the longest answer of the task and EOS."""
        longest = max(map(len, self._checkpoint.encode(self._task.answers()))) + 1
        features = self.features(examples, targets=False)
        return self.understood(self.generate(trainer, features, max_new_tokens=longest, num_beams=1), examples)

    def understood(self, texts: Sequence[str], examples: Sequence[LabelledExample]) -> Predictions[float]:
        """Return the labels that the answers name. An answer that does not name a label becomes a wrong label."""
        read = [self._task.understand(text) for text in texts]
        pairs = zip(read, examples, strict=True)
        labels = [self._task.wrong(example.label) if label is None else label for label, example in pairs]
        return Predictions(labels, read.count(None), list(texts))


PROTOCOLS: dict[str, type[HeadProtocol] | type[TextProtocol]] = dict(
    zip(PROTOCOL_NAMES, (HeadProtocol, TextProtocol), strict=True)
)


def protocol_class(task: Task[Any, Any], name: str) -> type[TaskProtocol[Any, Any]]:
    """Return the class of the named protocol for a task with labels; a summary is always text."""
    return PROTOCOLS[name] if isinstance(task, GlueTask) else SummaryProtocol


def protocol_for(
    task: Task[Any, Any], name: str, checkpoint: Checkpoint, max_length: int | None, max_summary_length: int
) -> TaskProtocol[Any, Any]:
    """Return the named protocol for a task with labels; a summary is always text.

    By default inputs have 128 tokens, and texts to summarize 512.
    """
    if isinstance(task, GlueTask):
        return PROTOCOLS[name](task, checkpoint, max_length or LABELLED_LENGTH)
    return SummaryProtocol(checkpoint, max_length or SUMMARISED_LENGTH, max_summary_length)


def shorten(parts: Sequence[list[int]], room: int) -> list[list[int]]:
    """Return the parts after removing tokens from the end of the longest part until all together fit the room."""
    fitted = [list(part) for part in parts]
    while sum(map(len, fitted)) > room:
        max(fitted, key=len).pop()
    return fitted
