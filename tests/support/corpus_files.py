"""Small corpora for tests: three rows with two fields, as .jsonl, .jsonl.gz or .parquet."""

import gzip
import json

ROWS = [
    {"text": "one", "summary": "1"},
    {"text": "two\nlines", "summary": "2"},
    {"text": "drei Größen", "summary": "3"},
]
TEXTS = [(row["text"],) for row in ROWS]


def write_jsonl(path, rows):
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)
    return path


def write_parquet(path, rows):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path
