"""Measure what very large inputs cost: documents of 1 GB, a corpus of 1 TB that a dump resumes, and 300,000 small files.

    python benchmarks/sizes.py [--megabytes 1000] [--tokenized 50] [--gigabytes 1024] [--files 300000] [--work DIR]

All inputs and a tiny random teacher are made in a temporary folder, which needs three times the longest document. Every row is a
separate process. `read` reads a whole document with the dump's own reader, without tokenizing it. `dump` makes a cache of 32
examples from a corpus whose first document it is: the dump reads all of the document several times and tokenizes its beginning.
`segments` tokenizes a whole document of --tokenized megabytes (of a tenth of that without white space, where this vocabulary has
a token for each letter). `resume` starts a finished dump again whose corpus has a sparse file of 1 TB; its digest is made up,
because hashing 1 TB takes ten minutes and more. `files` makes a cache from many files, and `again` starts it again.

Peak memory is the kernel's high-water mark above the level before. `small` is the same for a document of 1 MB, or for 100 files.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parent.parent / "tests"))

from miniend.data.digests import _Note, state_of  # noqa: E402
from miniend.data.long_text import parts_of  # noqa: E402
from miniend.student_train.dry_run.peak_memory import peak_growth  # noqa: E402
from miniend.teacher_dump.config import DumpConfig  # noqa: E402
from miniend.teacher_dump.corpus.corpus import documents, parse_corpus  # noqa: E402
from miniend.teacher_dump.corpus.tokenizer import TextTokenizer  # noqa: E402
from miniend.teacher_dump.dump import dump_teacher  # noqa: E402
from miniend.teacher_dump.examples.packing import pack_segments  # noqa: E402
from support.tiny_t5 import build_tiny_t5, tiny_texts, write_texts  # noqa: E402
from support.tiny_tokenizer import build_tiny_tokenizer  # noqa: E402

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
MEGABYTE = 10**6
PER_FOLDER = 1000
FORMS = {
    "txt": ("words", "", "\n"),
    "jsonl": ("words", '{"id": 1, "text": "', '"}\n'),
    "fasta.txt": ("letters", "", "\n"),
}
"""The documents, by the ending of their file: the kind of text, and what is before and after it."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000, help="length of the longest document")
    parser.add_argument("--tokenized", type=int, default=50, help="length of the document that is tokenized whole")
    parser.add_argument("--gigabytes", type=int, default=1024, help="length of the sparse file")
    parser.add_argument("--files", type=int, default=300_000)
    parser.add_argument("--work", type=Path, help="where the temporary folder is made")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    asked = parse()
    if asked.case:
        print(json.dumps(measured(**json.loads(asked.case))))
        return
    with tempfile.TemporaryDirectory(dir=asked.work) as folder:
        root = Path(folder)
        make_teacher(root / "teacher")
        print(f"{'what':<34}{'seconds':>9}{'MB/s or files/s':>17}{'peak, MB':>10}{'small, MB':>11}")
        rows = (document_rows(root, asked), resume_rows(root, asked.gigabytes), file_rows(root, asked.files))
        for line in chain.from_iterable(rows):
            print(line, flush=True)


def document_rows(root: Path, asked: argparse.Namespace) -> Iterator[str]:
    for ending, (kind, before, after) in FORMS.items():
        tokenized = max(2, asked.tokenized // (10 if kind == "letters" else 1))
        for case, size in (("read", asked.megabytes), ("dump", asked.megabytes), ("segments", tokenized)):
            results = []
            for megabytes in (1, size):
                path = root / f"document.{ending}"
                write_document(path, kind, megabytes, before, after)
                results.append(in_child(root, case=case, corpus=str(path)))
                path.unlink()
            small, large = results
            yield row(f"{case} {size} MB .{ending}", large, size, small)


def resume_rows(root: Path, gigabytes: int) -> Iterator[str]:
    folder = root / "large"
    folder.mkdir()
    write_texts(folder / "a.jsonl", tiny_texts(2000))  # enough that the dump does not reach the sparse file
    with (folder / "b.jsonl").open("wb") as file:
        file.truncate(gigabytes * 10**9)
    corpus = str(folder / "*.jsonl")
    time.sleep(2.5)  # a file that has just changed is not kept
    in_child(root, case="note", corpus=str(folder / "b.jsonl"))
    first = in_child(root, case="dump", corpus=corpus, cache="large-cache")
    yield row(f"dump beside {gigabytes} GB, hashed", first)
    yield row(f"resume beside {gigabytes} GB", in_child(root, case="dump", corpus=corpus, cache="large-cache"))


def file_rows(root: Path, files: int) -> Iterator[str]:
    small = None
    for count in (100, max(100, files // 100), max(100, files // 10), files):
        folder = root / f"files-{count}"
        texts = tiny_texts(min(count, 1000), words=40)
        for number in range(count):
            path = folder / f"{number // PER_FOLDER:05}" / f"{number}.txt"
            if number % PER_FOLDER == 0:
                path.parent.mkdir(parents=True)
            path.write_text(f"{texts[number % len(texts)]} {number}\n")
        time.sleep(2.5)
        case = {"case": "dump", "corpus": str(folder / "*" / "*.txt"), "cache": f"{folder.name}-cache"}
        first = in_child(root, **case)
        small = small or first
        yield row(f"files: {count:,}", first, count, small)
        yield row(f"again: {count:,}", in_child(root, **case), count)


def row(what: str, result: dict[str, float], amount: float = 0, small: dict[str, float] | None = None) -> str:
    rate = f"{amount / result['seconds']:.1f}" if amount else ""
    base = f"{small['megabytes']:.0f}" if small else ""
    return f"{what:<34}{result['seconds']:>9.1f}{rate:>17}{result['megabytes']:>10.0f}{base:>11}"


def in_child(root: Path, **case: str) -> dict[str, float]:
    """Run a case in a process of its own, with temporary files and kept digests inside the folder."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(root / "home"), "TMPDIR": str(root)}
    command = [sys.executable, str(HERE), "--case", json.dumps({"root": str(root), **case})]
    run = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if run.returncode:
        raise RuntimeError(run.stderr)
    result: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return result


def measured(root: str, case: str, corpus: str, cache: str = "") -> dict[str, float]:
    """Return seconds and peak megabytes of a case."""
    run = {"read": read, "dump": dump, "segments": segments, "note": note}[case](Path(root), corpus, cache)
    begun = time.perf_counter()
    with peak_growth(torch.device("cpu")) as growth:
        run()
    return {"seconds": time.perf_counter() - begun, "megabytes": growth.bytes / MEGABYTE}


def read(_root: Path, corpus: str, _cache: str) -> Callable[[], Any]:
    parsed = parse_corpus(corpus, ("text",))
    return lambda: sum(len(part) for document in documents(parsed) for text in document for part in parts_of(text))


def segments(root: Path, corpus: str, _cache: str) -> Callable[[], Any]:
    encode = TextTokenizer.load(root / "teacher").encoder()
    texts = enumerate(text for (text,) in documents(parse_corpus(corpus, ("text",))))
    return lambda: sum(1 for _ in pack_segments(texts, encode, repeat(128)))


def dump(root: Path, corpus: str, cache: str) -> Callable[[], Any]:
    with tempfile.TemporaryDirectory(dir=root) as folder:
        config = DumpConfig(
            teacher=str(root / "teacher"),
            corpus=corpus,
            cache=root / (cache or Path(folder).name),
            examples=32,
            validation_examples=0,
            calibration_examples=8,
            input_length=64,
            signals="none",
            device="cpu",
        )
    return lambda: dump_teacher(config, log=lambda _line: None)


def note(_root: Path, corpus: str, _cache: str) -> Callable[[], Any]:
    """Keep a digest that nobody computed."""
    path = Path(corpus)
    kept = _Note(path.parent)
    kept.add(path, state_of(path), "0" * 64)
    return kept.save


def make_teacher(folder: Path) -> None:
    texts = [*tiny_texts(100), LETTERS]
    tokenizer = build_tiny_tokenizer(texts, 400, sentinels=16)
    build_tiny_t5(folder, tokenizer, layers=(1, 1), d_model=8, heads=2, d_kv=8)


def write_document(path: Path, kind: str, megabytes: int, before: str, after: str) -> None:
    path.parent.mkdir(exist_ok=True)
    text = (
        " ".join(tiny_texts(4000, words=50))
        if kind == "words"
        else "".join(random.Random(0).choices(LETTERS, k=MEGABYTE))
    )
    piece = text[: MEGABYTE // 2].encode()
    with path.open("wb") as file:
        file.write(before.encode())
        for _ in range(2 * megabytes):
            file.write(piece)
        file.write(after.encode())


if __name__ == "__main__":
    main()
