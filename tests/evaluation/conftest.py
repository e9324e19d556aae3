"""A tiny model whose tokenizer knows the words of tiny tasks, and the files of those tasks."""

import json
import random

import pytest

from miniend.errors import TrainingError
from miniend.evaluation import evaluate as evaluate_module
from miniend.evaluation.config import EvaluateConfig
from miniend.evaluation.protocols.protocol import Predictions
from miniend.evaluation.tasks.examples import LabelledExample
from support.tiny_t5 import build_tiny_t5, tiny_texts
from support.tiny_tokenizer import build_tiny_tokenizer

GOOD, BAD = ("lovely", "great", "fine"), ("awful", "dull", "poor")
PROMPT_WORDS = [
    "summarize: sst2 sentence: negative positive mnli hypothesis: premise: stsb sentence1: sentence2: 0 1 2 3 4 5 . < / >"
]


@pytest.fixture(scope="session")
def tokenizer():
    words = [" ".join((*GOOD, *BAD))] * 50
    return build_tiny_tokenizer([*tiny_texts(30), *words, *PROMPT_WORDS * 50], 300, sentinels=8)


@pytest.fixture(scope="session")
def model_folder(tokenizer, tmp_path_factory):
    """A random T5 of 1+1 layers."""
    return build_tiny_t5(tmp_path_factory.mktemp("model"), tokenizer, layers=(1, 1))


@pytest.fixture(scope="session")
def sentiment():
    """sentiment(count, seed): rows of SST-2 of which one word tells the label."""

    def rows(count, seed=0):
        generator = random.Random(seed)
        labels = [number % 2 for number in range(count)]
        return [{"sentence": f"a {generator.choice(GOOD if label else BAD)} film", "label": label} for label in labels]

    return rows


@pytest.fixture(scope="session")
def articles():
    """articles(count, seed): pairs of document and summary of which one word tells the summary."""

    def rows(count, seed=0):
        words = random.Random(seed).choices((GOOD[0], BAD[0]), k=count)
        return [{"document": f"it was a {word} film", "summary": f"so {word}"} for word in words]

    return rows


@pytest.fixture(scope="session")
def write_rows():
    """write_rows(path, rows): a .jsonl, .tsv or .csv file of rows."""

    def write(path, rows):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            separator = "\t" if path.suffix == ".tsv" else ","
            lines = [rows[0].keys(), *(row.values() for row in rows)]
            path.write_text("".join(separator.join(map(str, line)) + "\n" for line in lines))
        return path

    return write


@pytest.fixture(scope="session")
def sentiment_folder(tmp_path_factory, sentiment, write_rows):
    """A folder in GLUE's layout with SST-2 in it."""
    root = tmp_path_factory.mktemp("glue")
    write_rows(root / "SST-2" / "train.tsv", sentiment(40))
    write_rows(root / "SST-2" / "dev.tsv", sentiment(12, seed=1))
    return root


@pytest.fixture(scope="session")
def summary_folder(tmp_path_factory, articles, write_rows):
    """A folder with XSum in it."""
    root = tmp_path_factory.mktemp("summaries")
    write_rows(root / "xsum" / "train.csv", articles(40))
    write_rows(root / "xsum" / "validation.csv", articles(12, seed=1))
    return root


@pytest.fixture
def config(model_folder, sentiment_folder, tmp_path):
    """config(**changed): two seeds of tiny SST-2, on one CPU."""

    def build(**changed):
        settings = {"model": str(model_folder), "tasks": ("glue/sst2",), "data": sentiment_folder, "device": "cpu"}
        settings |= {"output": tmp_path / "out", "seeds": 2, "epochs": 1, "batch_size": 8}
        return EvaluateConfig(**settings | changed)

    return build


class FakeTuning:
    """Stands for fine-tuning: says what is right but at the rates named, and notes what it was asked for."""

    def __init__(self, wrong=(), diverging=(), stop_at=None):
        self.calls, self.wrong, self.diverging, self.stop_at = [], wrong, diverging, stop_at

    def __call__(self, _protocol, train, development, settings, _title, _keep):
        self.calls.append((settings.learning_rate, settings.seed, train, development))
        if len(self.calls) == self.stop_at:
            raise KeyboardInterrupt
        if settings.learning_rate in self.diverging:
            raise TrainingError("not finite")
        right = settings.learning_rate not in self.wrong
        return {name: Predictions([self.answer(e, right) for e in part], 0) for name, part in development.items()}

    def answer(self, example, right):
        """The label or the other one of two, the first reference or nothing."""
        if isinstance(example, LabelledExample):
            return example.label if right else 1 - example.label
        return example.references[0] if right else ""


@pytest.fixture
def fake(monkeypatch):
    """fake(**options): a FakeTuning in the place of fine-tuning."""

    def install(**options):
        tuning = FakeTuning(**options)
        monkeypatch.setattr(evaluate_module, "fine_tune_and_predict", tuning)
        return tuning

    return install
