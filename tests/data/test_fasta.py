"""FASTA files: every sequence whole under its own header, whatever its lines, or one line that names the place."""

import gzip

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miniend.data import fasta, long_text
from miniend.data.long_text import LongText
from miniend.data.rows import FASTA, ending_of, read_rows
from miniend.errors import CorpusError

FUZZ = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
HEADERS = st.text(alphabet=st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), max_size=20).map(str.strip)
SEQUENCES = st.text(alphabet="ACDEFGHIKLMNPQRSTVWYXUZOB*-acde", max_size=40)


def rows_of(path):
    return [(row["id"], row["description"], str(row["text"])) for row in read_rows(path)]


@FUZZ
@given(st.lists(st.tuples(HEADERS, SEQUENCES), max_size=5), st.integers(1, 9), st.sampled_from(["\n", "\r\n"]))
def test_sequences_come_back_whatever_the_length_of_lines(tmp_path, entries, width, end):
    """Also those without a letter, which the dump counts as blank."""
    lines = []
    for header, sequence in entries:
        lines += [f">{header}", *(sequence[n : n + width] for n in range(0, len(sequence), width)), "; a comment", ""]
    path = tmp_path / "a.fasta"
    path.write_bytes("".join(line + end for line in lines).encode() or b"\n")
    expected = [(*(header.partition(" ")[0::2]), sequence) for header, sequence in entries]
    assert rows_of(path) == [(name, rest.strip(), sequence) for name, rest, sequence in expected]


@pytest.mark.parametrize("ending", FASTA)
def test_packed_files_of_every_ending_are_read(tmp_path, ending):
    path = tmp_path / f"a{ending}.gz"
    path.write_bytes(gzip.compress(b">sp|P1|A some protein\nMK\nTA\n>b\nAC"))
    assert ending_of(path) == ending
    assert rows_of(path) == [("sp|P1|A", "some protein", "MKTA"), ("b", "", "AC")]
    assert [row.place for row in read_rows(path)] == [f"{path}, line 1", f"{path}, line 4"]


def test_a_sequence_that_is_longer_than_memory_is_kept_on_the_disk(tmp_path, monkeypatch):
    """In one line, as programs write it, or in many."""
    monkeypatch.setattr(long_text, "SHORT", 500)
    for name, body in (("one", "ACDE" * 1000), ("many", "ACDE\n" * 1000)):
        path = tmp_path / f"{name}.fa"
        path.write_text(f">long\n{body}\n>short\nAC\n")
        first, second = read_rows(path)
        assert isinstance(first["text"], LongText)
        assert str(first["text"]) == "ACDE" * 1000
        assert second["text"] == "AC"


def test_what_is_not_fasta_is_named_with_its_line(tmp_path, monkeypatch):
    """A list of sequences without headers would be one sequence, or none."""
    path = tmp_path / "a.fasta"
    path.write_text("\n\nMKTA\n>a\nMK\n")
    with pytest.raises(CorpusError, match=r"found line 3: 'MKTA'; a text with a sequence per line is a \.txt file"):
        rows_of(path)
    monkeypatch.setattr(fasta, "LONGEST_HEADER", 10)
    path.write_text(">a\nMK\n>a header that is too long\nMK\n")
    with pytest.raises(CorpusError, match=r"line 3 has 27 characters, expected at most 10"):
        rows_of(path)
