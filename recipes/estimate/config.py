"""The settings of an estimate, checked before anything is loaded; without torch."""

from dataclasses import dataclass

from ...runtime.options import option, require
from ...teacher_dump.config import TeacherSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class EstimateConfig(TeacherSettings):
    """The options of `miniend estimate`: the planned dump, which does not have a cache yet, and how to report."""

    sample_examples: int | None = option(
        None,
        section="essential",
        least=1,
        shown="one shard",
        help="Examples in the trial dump; never more than --examples.",
    )
    epochs: float = option(
        1.0,
        section="essential",
        help="Epochs per student; used to compute how many students make the dump worthwhile.",
    )
    as_json: bool = option(False, section="essential", flag="--json", help="Print one JSON object.")

    def __post_init__(self) -> None:
        TeacherSettings.__post_init__(self)
        require(self.epochs > 0, f"--epochs must be positive, not {self.epochs:g}")
