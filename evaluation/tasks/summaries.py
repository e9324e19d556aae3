"""Summarization: data sets known by name, any other pairs of text and summary, and how their rows are read.

CNN/DailyMail (Hermann et al., 2015; See et al., 2017), XSum (Narayan et al., 2018), SciTLDR (Cachola et al., 2020).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ...data.row import Row
from ...errors import CorpusError, shortened
from ...runtime.progress import Log
from ..scores.rouge import ROUGE_METRICS, has_words, rouge, rouge_scorer
from .examples import SummaryExample
from .task import Task

EMPTY_SHARE = 0.01
"""The largest share of empty texts. Data sets from the web have some, which we skip and count; more are not an accident."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SummaryTask(Task[SummaryExample, str]):
    """One data set of texts and their summaries."""

    prefix: ClassVar[str] = "summarize/"
    held_out_most: ClassVar[int] = 100  # beams are slow

    pairs: tuple[tuple[str, str], ...]
    """The columns of text and summary; the first pair that a table has is read."""
    metrics: tuple[str, ...] = ROUGE_METRICS

    def examples(self, rows: Sequence[Row], where: str, log: Log) -> list[SummaryExample]:
        """Return the examples whose text and summary are not blank.

        A list of sentences is joined to a text; a list of summaries are all references. Raises CorpusError for no rows, for
        columns that are missing or do not hold text, and if more than 1 % of the examples are blank.
        """
        if not rows:
            raise CorpusError(f"{where} holds no examples; add some")
        source, target = self._columns(rows[0], where)
        examples = []
        for row in rows:
            text = " ".join(_texts(row, source))
            references = tuple(reference for reference in _texts(row, target) if reference.strip())
            if text.strip() and references:
                examples.append(SummaryExample(text, references))
        self._count_blank(len(rows) - len(examples), len(rows), f"{source} or {target}", where, log)
        return examples

    def told(self, examples: Sequence[SummaryExample]) -> str:
        """Return the length of the longest text and summary, and how many summaries ROUGE cannot score."""
        references = [reference for example in examples for reference in example.references]
        foreign = sum(not any(has_words(reference) for reference in example.references) for example in examples)
        told = (
            f"longest text {max(len(example.text) for example in examples):,} characters, longest summary "
            f"{max(map(len, references)):,}"
        )
        if foreign:
            told += f", warning: {foreign:,} have a summary without a word of a-z or digits, so ROUGE is 0 for anything"
        return told

    def baseline(self, train: Sequence[SummaryExample], examples: Sequence[SummaryExample]) -> None:
        """Return None: no summary fits every text."""

    def scores(self, examples: Sequence[SummaryExample], answers: Sequence[str]) -> dict[str, float]:
        """Return ROUGE against the references."""
        return rouge([example.references for example in examples], answers)

    def require_libraries(self) -> None:
        """Raise ConfigurationError if rouge-score is not installed."""
        rouge_scorer()

    def _columns(self, row: Row, where: str) -> tuple[str, str]:
        for pair in self.pairs:
            if set(pair) <= set(row):
                return pair
        wanted = ", or ".join(" and ".join(pair) for pair in self.pairs)
        raise CorpusError(f"{where}: task {self.name} needs the columns {wanted}; found {', '.join(row)}")

    def _count_blank(self, blank: int, count: int, columns: str, where: str, log: Log) -> None:
        if blank > EMPTY_SHARE * count:
            raise CorpusError(f"{where}: {blank:,} of {count:,} examples have an empty {columns}; remove or fix them")
        if blank:
            log(f"{where}: {blank:,} of {count:,} examples have an empty {columns} and are skipped")


def _texts(row: Row, column: str) -> list[str]:
    """Return a single text, or the texts of a list, as a list."""
    value: Any = row.get(column)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise CorpusError(f"{row.place}: {column} should be a text or a list of texts, found {shortened(repr(value))}")
    return texts


def _task(name: str, hub: tuple[str, ...], *pairs: tuple[str, str]) -> SummaryTask:
    development = {name: ("validation", "dev", "val")}
    return SummaryTask(name=name, development=development, folder=name, hub=hub, pairs=pairs)


_CNN_DAILYMAIL, _XSUM, _SCITLDR = ("article", "highlights"), ("document", "summary"), ("source", "target")
SUMMARY_TASKS = (
    _task("cnn_dailymail", ("abisee/cnn_dailymail", "3.0.0"), _CNN_DAILYMAIL),
    _task("xsum", ("EdinburghNLP/xsum",), _XSUM),
    _task("scitldr", ("allenai/scitldr", "Abstract"), _SCITLDR),
    _task("pairs", (), _SCITLDR, _XSUM, _CNN_DAILYMAIL, ("text", "summary")),
)
