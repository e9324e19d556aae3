"""The memory that a document takes does not grow with it, whatever the format of its file."""

import gzip
import random
import textwrap

import pytest

from support.tiny_t5 import tiny_texts

FORMS = {
    "txt": ("", "\n", 20, 45),
    "txt.gz": ("", "\n", 20, 45),
    "jsonl": ('{"id": 3, "text": "', '"}\n', 20, 45),
    "json": ('{"version": [1], "data": [{"id": 3, "text": "', '"}]}', 40, 80),
    "csv": ('id,text\n3,"', '"\n', 20, 45),
    "tsv": ("id\ttext\n3\t", "\n", 20, 45),
}
"""What stands before and after the text, the megabytes of the file, and the most that reading may take."""
MEASURE = """
    import sys, torch
    from itertools import repeat
    from miniend.data.long_text import parts_of
    from miniend.student_train.dry_run.peak_memory import peak_growth
    from miniend.teacher_dump.corpus.corpus import documents, parse_corpus
    from miniend.teacher_dump.corpus.tokenizer import TextTokenizer
    from miniend.teacher_dump.examples.packing import pack_segments

    path, characters, teacher, most = sys.argv[1:]
    texts = [text for (text,) in documents(parse_corpus(path, ("text",)))] if teacher else ()
    encode = TextTokenizer.load(teacher).encoder() if teacher else None
    with peak_growth(torch.device("cpu")) as growth:
        if teacher:
            for _ in pack_segments(enumerate(texts), encode, repeat(512)):
                pass
        else:
            [(found,)] = documents(parse_corpus(path, ("text",)))
            assert sum(map(len, parts_of(found))) == int(characters)
    if growth.bytes > int(most) * 10**6:
        sys.exit(f"{growth.bytes / 1e6:.0f} MB")
"""


def measure(commands, path, characters, teacher, most):
    """Fail if the peak grows by more than so many megabytes."""
    process = commands.python(textwrap.dedent(MEASURE), path, characters, teacher, most)
    assert process.wait() == 0, process.written()


def write(path, text, megabytes, before, after):
    """A file with one document: the text again and again, without a line end."""
    piece = text.encode()
    count = megabytes * 10**6 // len(piece)
    with gzip.open(path, "wb", compresslevel=1) if path.suffix == ".gz" else path.open("wb") as file:
        file.write(before.encode())
        for _ in range(count):
            file.write(piece)
        file.write(after.encode())
    return count * len(text) + (path.suffix in (".txt", ".gz"))


@pytest.mark.parametrize("ending", FORMS)
def test_reading_a_long_document_takes_the_memory_of_a_short_one(commands, tmp_path, ending):
    """With a character beyond Latin-1 a text of 40 MB is 80 MB in memory, beside the 40 MB of its file."""
    path = tmp_path / f"c.{ending}"
    before, after, megabytes, most = FORMS[ending]
    characters = write(path, "the cat sat on the mat, " * 4000 + "天", megabytes, before, after)
    measure(commands, path, characters, "", most)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    from support.tiny_tokenizer import build_tiny_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    build_tiny_tokenizer([*tiny_texts(40), "ACDEFGHIKLMNPQRSTVWY"], 300, sentinels=8, folder=folder)
    return folder


def test_tokenizing_without_white_space_takes_constant_memory(commands, tmp_path, teacher):
    """The tokenizer takes a hundred times what it gets at once."""
    text = "".join(random.Random(0).choices("ACDEFGHIKLMNPQRSTVWY", k=10**5))
    measure(commands, tmp_path / "c.txt", write(tmp_path / "c.txt", text, 2, "", "\n"), teacher, 110)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["words", "letters"])
def test_tokenizing_a_long_document_takes_constant_memory(commands, tmp_path, teacher, kind):
    """The same as above of 40 MB and 20 MB, which is a minute of tokenizing."""
    letters = "".join(random.Random(0).choices("ACDEFGHIKLMNPQRSTVWY", k=10**5))
    text, megabytes = (" ".join(tiny_texts(300)) + " ", 40) if kind == "words" else (letters, 20)
    measure(commands, tmp_path / "c.txt", write(tmp_path / "c.txt", text, megabytes, "", "\n"), teacher, 110)
