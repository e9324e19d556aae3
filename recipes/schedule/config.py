"""The settings of schedule; without torch."""

from dataclasses import dataclass
from pathlib import Path

from ...models.pruning.widths import PRUNED, require_keep
from ...runtime.local_names import path_or_url, start
from ...runtime.options import option, require
from ...student_train.config import INFORMATION, SCORES, LearningSettings, objectives


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleConfig(LearningSettings):
    """The options of `miniend schedule`."""

    cache: str | Path = option(
        section="essential",
        metavar="PATH",
        local=path_or_url,
        help="Directory or URL of a cache that dump-teacher wrote.",
    )
    init: str = option(
        section="essential",
        metavar="pruned:SORTED",
        local=start,
        help="pruned: and the folder of the teacher that prune-teacher sorted, from which all candidates are cut.",
    )
    output: Path = option(
        section="essential",
        once=True,
        help="Directory for the assistant, the target, the report and the run. A run that is already there is continued.",
    )
    keep: str = option(
        section="essential",
        metavar="FRACTION,...",
        help="The candidates: fractions of the teacher's heads and neurons, with commas, such as 0.5,0.4,0.3,0.2,0.15,0.1.",
    )
    target: float = option(
        section="essential",
        help="The candidate at which the last student starts; smaller ones cannot be the assistant.",
    )
    tradeoff: float = option(
        0.2,
        section="essential",
        least=0,
        flag="--lambda",
        help="The value of being smaller: the candidate with the greatest score + lambda (1 - size) is chosen, with sizes in "
        "parameters without embeddings over the teacher's. The table says at which lambda the choice changes.",
    )
    score: str = option(
        INFORMATION,
        section="essential",
        choices=SCORES,
        help="information: share of the way from word frequencies to the teacher, by cross-entropy. accuracy: share of target "
        "tokens that the candidate thinks likeliest; of pairs, of whole targets. kl: exp(-KL) to the teacher's distributions.",
    )
    objective: str = option(
        "miniend-e",
        section="essential",
        choices=objectives,
        help="What each candidate learns; see train-student. It must train the head: give hidden --weight logits=1.",
    )
    gradient_checkpointing: bool = option(
        False,
        section="speed",
        help="For --independent: compute each block once more in the backward instead of keeping its activations.",
    )
    sandwich_sample: int | None = option(
        None,
        section="training",
        least=0,
        shown="all candidates in each step",
        help="Candidates that each step draws, beside the largest and the smallest.",
    )
    independent: bool = option(
        False,
        section="training",
        help="Train each candidate with weights of its own, in one pass: a control, which takes the memory of all together.",
    )
    save_all: bool = option(
        False, section="advanced", help="Write every candidate as a checkpoint to OUTPUT/candidates."
    )
    device: str = option("auto", section="speed", help="auto, cpu, cuda or cuda:N.")
    allow_unfinished: bool = option(
        False,
        section="advanced",
        help="Train on the shards that an unfinished dump has published; a resumed run takes the same ones.",
    )

    def __post_init__(self) -> None:
        LearningSettings.__post_init__(self)
        require(
            self.init.startswith(f"{PRUNED}:") and self.init != f"{PRUNED}:",
            f"--init {self.init}: expected {PRUNED}:SORTED, because candidates are cut from a sorted teacher; sort it with "
            "miniend prune-teacher",
        )
        require(
            self.target in self.keeps,
            f"--target {self.target:g}: expected one of the candidates of --keep, {self.keep}; add it there",
        )
        require(
            self.independent or not self.gradient_checkpointing,
            "--gradient-checkpointing is for --independent: candidates that share weights compute with slices of them, which a "
            "second forward does not have; lower the memory by --gradient-accumulation-steps",
        )
        require(
            not (self.independent and self.sandwich_sample is not None),
            "--sandwich-sample draws among candidates that share weights, which --independent does not have; leave one out",
        )

    @property
    def keeps(self) -> tuple[float, ...]:
        """The fractions of the candidates, the largest first. Raises ConfigurationError for a text that is not such a list."""
        try:
            found = [float(one) for one in self.keep.split(",")]
        except ValueError:
            found = []
        require(
            bool(found) and len(set(found)) == len(found),
            f"--keep {self.keep}: expected different fractions with commas, such as 0.5,0.3,0.1",
        )
        for one in found:
            require_keep(one)
        return tuple(sorted(found, reverse=True))
