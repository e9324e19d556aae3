"""The settings of an evaluation, checked before anything is loaded; without torch.

`EvaluateSettings` says how a model is evaluated. `EvaluateConfig` adds the model, the tasks and the output directory.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.optimizer_settings import OPTIMIZERS
from ..runtime.local_names import path_or_name
from ..runtime.options import check, option, require

if TYPE_CHECKING:
    from .tasks.task import Task

PROTOCOL_NAMES = ("head", "text")
ADAFACTOR_RATES = (1e-3, 3e-3, 1e-2)
"""Learning rates relative to each matrix's RMS. The T5 paper fine-tunes with the first."""
GLUE = "glue/"
"""The prefix of the tasks for which a protocol can be chosen; summaries are always text."""
BY_TASK = "by task"
"""The mark of settings that each task may set for itself; the task's records hold its value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateSettings:
    """How any model is evaluated on any task."""

    data: Path | None = option(
        None,
        section="essential",
        shown="from the hub; summarize/pairs needs it",
        help="Folder with train and dev as .tsv, .csv, .jsonl, .json (each also .gz or .zst) or .parquet, or a saved dataset, "
        "either directly or in a subfolder named after the task. Or one such file; a tenth of it becomes the development set.",
    )
    protocol: str = option(
        "head",
        section="training",
        choices=PROTOCOL_NAMES,
        identity=True,
        marks=(BY_TASK,),
        help="head: a new head on encoder and decoder, which read the same text. text: T5's prompts and label words. Summaries "
        "are always text.",
    )
    seeds: int = option(
        3, section="essential", least=1, help="Fine-tunings per task, seeds 0, 1, ...; can be raised later."
    )
    epochs: int = option(3, section="essential", least=1, identity=True, help="Epochs of every fine-tuning.")
    optimizer: str = option(
        "adamw",
        section="training",
        choices=tuple(OPTIMIZERS),
        identity=True,
        help="adafactor takes steps relative to each matrix's RMS. It is T5's own optimizer and suits small students.",
    )
    learning_rates: tuple[float, ...] = option(
        (),
        section="training",
        flag="--learning-rate",
        identity=True,
        marks=(BY_TASK,),
        shown="adamw: 1e-4, 2e-4, 3e-4 for head and 1e-4, 3e-4, 1e-3 for text and summaries; adafactor: 1e-3, 3e-3, 1e-2",
        help="Repeatable: the one with the best score on a tenth of train is used. A single one is used without a trial.",
    )
    batch_size: int = option(32, section="training", least=1, identity=True, help="Examples per step.")
    max_length: int | None = option(
        None,
        section="training",
        least=8,
        identity=True,
        marks=(BY_TASK,),
        shown="128 for GLUE, 512 for texts to summarize",
        help="Tokens of an input; longer inputs are shortened.",
    )
    max_summary_length: int = option(
        128,
        section="training",
        least=8,
        identity=True,
        marks=(BY_TASK,),
        help="Tokens of a summary: longer references are cut in training, and generation stops there.",
    )
    train_examples: int | None = option(
        None, section="speed", least=1, identity=True, shown="all", help="Examples to train on, drawn once."
    )
    eval_examples: int | None = option(
        None,
        section="speed",
        least=1,
        identity=True,
        shown="all",
        help="Examples of each development set to score on, drawn once.",
    )
    bf16: bool = option(False, section="speed", identity=True, help="bfloat16 autocast.")

    def __post_init__(self) -> None:
        check(self)
        require(
            all(0 < rate < 1 for rate in self.learning_rates),
            f"--learning-rate must be between 0 and 1, not {', '.join(f'{rate:g}' for rate in self.learning_rates)}",
        )

    def rates(self, task: "Task[Any, Any]") -> tuple[float, ...]:
        """Return the learning rates that are tried for a task, the smallest first."""
        from .protocols.protocols import protocol_class

        usual = protocol_class(task, self.protocol).learning_rates if self.optimizer == "adamw" else ADAFACTOR_RATES
        return tuple(sorted(set(self.learning_rates or usual)))


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateConfig(EvaluateSettings):
    """The options of `miniend evaluate`."""

    model: str = option(
        section="essential",
        metavar="PATH_OR_NAME",
        local=path_or_name,
        help="Folder or hub name of any T5-family checkpoint, trained here or not.",
    )
    tasks: tuple[str, ...] = option(
        section="essential",
        flag="--task",
        metavar="TASK",
        help="glue/ followed by sst2, mrpc, stsb, qqp, mnli (both development sets), qnli, rte, cola or wnli; or summarize/ "
        "followed by cnn_dailymail, xsum, scitldr or pairs. pairs takes any texts with summaries, in columns source/target, "
        "document/summary, article/highlights or text/summary. Repeatable.",
    )
    output: Path = option(
        section="essential",
        once=True,
        help="Directory for the results. Seeds that are already finished are not run again, and only what is to change need be "
        "given.",
    )
    training: bool = option(
        True,
        section="essential",
        shown="fine-tuned first",
        identity=True,
        help="Score the model as it is, once, without fine-tuning: a teacher that was fine-tuned text to text, or a student of "
        "such a teacher. With --protocol text, or summaries.",
    )
    keep_model: bool = option(
        False,
        section="essential",
        help="Keep each fine-tuned model as OUTPUT/TASK/seed-N, a checkpoint that can be a teacher. With --protocol text, or "
        "summaries.",
    )
    device: str = option("auto", section="speed", help="auto, cpu or cuda.")

    def __post_init__(self) -> None:
        from .tasks.known import find_task

        EvaluateSettings.__post_init__(self)
        require(bool(self.tasks), "--task: expected at least one, found none; name one")
        require(
            self.training or not self.keep_model,
            "--keep-model keeps what is fine-tuned, and --no-training fine-tunes nothing; leave one of them out",
        )
        for task in map(find_task, self.tasks):
            with_head = self.protocol == "head" and task.prefix == GLUE
            require(
                not with_head or self.training,
                f"--no-training: on {task.prefix}{task.name}, the new head of --protocol head would answer at random; add "
                "--protocol text",
            )
            require(
                not with_head or not self.keep_model,
                f"--keep-model keeps a text-to-text model, and on {task.prefix}{task.name} --protocol head trains another head; "
                "add --protocol text",
            )

    @property
    def runs(self) -> int:
        """The number of scored models per task: one for each seed, and one if nothing is trained."""
        return self.seeds if self.training else 1
