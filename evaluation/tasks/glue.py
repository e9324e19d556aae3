"""The tasks of GLUE (Wang et al., ICLR 2019), their columns and labels, and the GLUE score.

Field names and label words are from the T5 code (google-research/text-to-text-transfer-transformer, `preprocessors.glue` and
`preprocessors.stsb`); `datasets` uses the same. The other columns are from GLUE's own tsv files.
"""

from statistics import fmean

from ..records import Scores
from .glue_task import GlueTask


def _same(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: (name,) for name in names}


def _hub(name: str) -> tuple[str, ...]:
    return "nyu-mll/glue", name


def _development(name: str) -> dict[str, tuple[str, ...]]:
    return {name: ("validation", "dev")}


_ENTAILMENT = ("entailment", "not_entailment")
GLUE_TASKS = (
    GlueTask(
        name="sst2",
        hub=_hub("sst2"),
        fields=_same("sentence"),
        labels=("negative", "positive"),
        development=_development("sst2"),
        folder="SST-2",
    ),
    GlueTask(
        name="mrpc",
        hub=_hub("mrpc"),
        fields={"sentence1": ("sentence1", "#1 String"), "sentence2": ("sentence2", "#2 String")},
        label_columns=("label", "Quality"),
        labels=("not_equivalent", "equivalent"),
        metrics=("f1", "accuracy"),
        development=_development("mrpc"),
        folder="MRPC",
    ),
    GlueTask(
        name="stsb",
        hub=_hub("stsb"),
        fields=_same("sentence1", "sentence2"),
        label_columns=("label", "score"),
        labels=(),
        metrics=("spearman", "pearson"),
        development=_development("stsb"),
        folder="STS-B",
    ),
    GlueTask(
        name="qqp",
        hub=_hub("qqp"),
        fields=_same("question1", "question2"),
        label_columns=("label", "is_duplicate"),
        labels=("not_duplicate", "duplicate"),
        metrics=("f1", "accuracy"),
        development=_development("qqp"),
        folder="QQP",
    ),
    GlueTask(
        name="mnli",
        hub=_hub("mnli"),
        fields={"premise": ("premise", "sentence1"), "hypothesis": ("hypothesis", "sentence2")},
        label_columns=("label", "gold_label"),
        labels=("entailment", "neutral", "contradiction"),
        development={
            "mnli_matched": ("validation_matched", "dev_matched"),
            "mnli_mismatched": ("validation_mismatched", "dev_mismatched"),
        },
        folder="MNLI",
    ),
    GlueTask(
        name="qnli",
        hub=_hub("qnli"),
        fields=_same("question", "sentence"),
        labels=_ENTAILMENT,
        development=_development("qnli"),
        folder="QNLI",
    ),
    GlueTask(
        name="rte",
        hub=_hub("rte"),
        fields=_same("sentence1", "sentence2"),
        labels=_ENTAILMENT,
        development=_development("rte"),
        folder="RTE",
    ),
    GlueTask(
        name="cola",
        hub=_hub("cola"),
        fields=_same("sentence"),
        labels=("unacceptable", "acceptable"),
        metrics=("matthews",),
        development=_development("cola"),
        folder="CoLA",
        headerless=("source", "label", "star", "sentence"),
    ),
    GlueTask(
        name="wnli",
        hub=_hub("wnli"),
        fields=_same("sentence1", "sentence2"),
        labels=_ENTAILMENT[::-1],
        development=_development("wnli"),
        folder="WNLI",
    ),
)

GLUE_EIGHT = {
    "sst2": "accuracy",
    "mrpc": "f1",
    "stsb": "spearman",
    "qqp": "f1",
    "mnli_matched": "accuracy",
    "mnli_mismatched": "accuracy",
    "qnli": "accuracy",
    "rte": "accuracy",
}
"""Result -> metric: the eight numbers whose plain mean is the GLUE score of the MiniEnD paper."""


def glue_score(results: Scores) -> float | None:
    """Return the plain mean of the paper's eight numbers; None while one of them is missing."""
    if not set(GLUE_EIGHT) <= set(results):
        return None
    return fmean(results[name][metric].mean for name, metric in GLUE_EIGHT.items())
