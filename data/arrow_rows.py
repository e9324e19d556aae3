"""Rows of columnar files: .parquet, and .arrow as `datasets.save_to_disk` writes it."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import CorpusError, in_one_line
from .opening import require_content
from .row import OTHER_FIELDS, Row, names_in

ROWS = 1024
"""The largest number of rows in memory at a time."""
BYTES = 2**24
"""About the number of bytes of those rows: one long document is in memory whole, but not 1024 of them."""
STATE, SPLITS = "state.json", "dataset_dict.json"
"""The files by which a folder of `save_to_disk` is known: of one split, and of several."""


def parquet_rows(path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    """Yield the rows of a parquet file; of all columns, or of those named ones that it has."""
    from pyarrow import parquet

    def batches() -> Iterator[Any]:
        with parquet.ParquetFile(path) as file:
            chosen = _chosen(file.schema_arrow.names, columns, path)
            for number in range(file.num_row_groups):
                group = file.metadata.row_group(number)
                rows = _rows_at_once(group.total_byte_size, group.num_rows)
                yield from file.iter_batches(batch_size=rows, row_groups=[number], columns=chosen)

    yield from _rows(path, batches())


def arrow_rows(path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    """Yield the rows of an Arrow stream, in the same way."""
    import pyarrow

    def batches() -> Iterator[Any]:
        with pyarrow.memory_map(str(path)) as source, pyarrow.ipc.open_stream(source) as stream:
            chosen = _chosen(stream.schema.names, columns, path)
            for batch in stream:
                rows = _rows_at_once(batch.nbytes, batch.num_rows)
                for start in range(0, batch.num_rows, rows):
                    part = batch.slice(start, rows)
                    yield part if chosen is None else part.select(chosen)

    yield from _rows(path, batches())


def _rows_at_once(size: int, rows: int) -> int:
    """Return the number of rows of a group of this many bytes and rows that are read at once."""
    return max(1, min(ROWS, BYTES * rows // max(1, size)))


def _chosen(names: list[str], columns: Sequence[str] | None, path: Path) -> list[str] | None:
    """Return the columns to read. A dotted name may be a column, or a field inside one."""
    if columns is None:
        return None
    chosen = [name for name in names if any(name == one or one.startswith(f"{name}.") for one in columns)]
    if not chosen:
        raise CorpusError(f"no field {names_in(columns)} in {path}; its fields are {names_in(names)}: {OTHER_FIELDS}")
    return chosen


def _rows(path: Path, batches: Iterator[Any]) -> Iterator[Row]:
    require_content(path)
    number = 0
    while True:
        try:
            batch = next(batches, None)
            rows = [] if batch is None else batch.to_pylist()
        except CorpusError:
            raise
        except Exception as error:  # pyarrow raises what its many layers raise
            kind = path.suffix[1:]
            raise CorpusError(
                f"{path} cannot be read as {kind} from row {number + 1} on: {in_one_line(error)}; fetch it again"
            ) from error
        if batch is None:
            return
        for row in rows:
            number += 1
            yield Row(row, f"{path}, row {number}")


def is_saved_dataset(folder: Path) -> bool:
    """Return whether `datasets.save_to_disk` wrote this folder."""
    return (folder / STATE).is_file() or (folder / SPLITS).is_file()


def saved_files(folder: Path, split: str) -> list[Path]:
    """Return the .arrow files of a split of a saved dataset. Raises CorpusError if it does not have the split."""
    if (folder / SPLITS).is_file():
        splits = [name for name in _listed(folder / SPLITS, "splits") if isinstance(name, str)]
        if split not in splits:
            raise CorpusError(f"{folder} has the splits {names_in(splits)}, but not {split!r}; name one with --split")
        folder = folder / Path(split).name
    files = [
        entry.get("filename") if isinstance(entry, dict) else None for entry in _listed(folder / STATE, "_data_files")
    ]
    if not files or not all(isinstance(name, str) and Path(name).name == name for name in files):
        raise CorpusError(f"{folder / STATE} does not list the files of a saved dataset; save it again")
    return [folder / str(name) for name in files]


def _listed(path: Path, member: str) -> list[Any]:
    try:
        found = json.loads(path.read_bytes())[member]
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise CorpusError(f"{path} cannot be read: {in_one_line(error)}; save the dataset again") from error
    return found if isinstance(found, list) else []
