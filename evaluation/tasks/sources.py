"""Load the data of a task: from `datasets` by name, from a folder of files in a usual layout, or from one file."""

from pathlib import Path

from ...data.arrow_rows import is_saved_dataset, saved_files
from ...data.long_text import in_memory
from ...data.opening import GZIP, ZSTD
from ...data.row import Row
from ...data.rows import COLUMNAR, TABLES, TEXT, ending_of, read_rows
from ...errors import CorpusError, in_one_line
from ...runtime.progress import Log, waiting
from ...runtime.there import listed, look, what_is_there
from .examples import ExampleT, TaskData, split_off
from .task import AnswerT, Task

ENDINGS = (*(table + packed for table in TABLES for packed in ("", GZIP, ZSTD)), *COLUMNAR)
"""The endings of files that hold examples."""


def load_task(task: Task[ExampleT, AnswerT], data: Path | None, log: Log) -> TaskData[ExampleT]:
    """Return the training and development examples of a task.

    Without `data` they come from the hub, through `datasets`. A folder holds `train` and `dev` or `validation` as files with
    columns (data/rows.py) or as saved datasets, directly or in a subfolder named after the task (MNLI: `dev_matched` and
    `dev_mismatched`, or `validation_...`; summaries: also `val`). Of one file, a tenth is held out as development set. Raises
    CorpusError for data that is missing, empty or not of the task.
    """
    if data is None:
        return _from_hub(task, log)
    if data.is_file():
        return _from_file(task, data, log)
    if not data.is_dir():
        raise CorpusError(
            f"{data} does not exist; give --data a folder or a file with the data of {task.name}: {what_is_there(data)}"
        )
    folder = _task_folder(task, data)
    _require_own(task, folder)
    paths = {"train": _find(folder, ("train",))}
    paths |= {name: _find(folder, names) for name, names in task.development.items()}
    parts = {name: _read(task, path, log) for name, path in paths.items()}
    return TaskData(parts.pop("train"), parts, {name: str(path) for name, path in paths.items()})


def _from_file(task: Task[ExampleT, AnswerT], path: Path, log: Log) -> TaskData[ExampleT]:
    if ending_of(path) in (None, TEXT):
        raise CorpusError(f"{path}: expected a file that ends in {', '.join((*TABLES, *COLUMNAR))}")
    _require_own(task, path.parent)
    train, held_out = split_off(_read(task, path, log))
    log(
        f"{path} is one file: {len(train):,} of its examples are for training, {len(held_out):,} are the development set"
    )
    files = {"train": str(path)} | dict.fromkeys(task.development, f"a tenth of {path.name}")
    return TaskData(train, dict.fromkeys(task.development, held_out), files)


def _require_own(task: Task[ExampleT, AnswerT], folder: Path) -> None:
    """Raise CorpusError for a folder with the name of another task: several tasks have columns of the same names.

    A task that is not on the hub takes any data.
    """
    from .known import TASKS

    named = _letters(folder.resolve().name)
    owner = next((one for one in TASKS.values() if named in (_letters(one.name), _letters(one.folder))), task)
    if task.hub and owner.name != task.name:
        raise CorpusError(
            f"{folder} has the name of {owner.prefix}{owner.name}, but the task is {task.prefix}{task.name}; "
            f"give --data the folder of {task.name}, or rename this one if it holds that"
        )


def _letters(name: str) -> str:
    return "".join(each for each in name.lower() if each.isalnum())


def _task_folder(task: Task[ExampleT, AnswerT], data: Path) -> Path:
    """Return `data` if it holds a training file, else its subfolder that is named after the task."""
    if _candidates(data, ("train",)):
        return data
    names = {task.name, task.folder.lower()}
    for folder in sorted(data.iterdir()):
        if folder.is_dir() and folder.name.lower() in names:
            return folder
    there = look(data)
    found = there.words if there.of_miniend or there.models else _listing(data)
    raise CorpusError(
        f"{data} holds neither train{_any_ending()} nor a folder {task.folder} or {task.name}; found {found}"
    )


def _candidates(folder: Path, names: tuple[str, ...]) -> list[Path]:
    files = [folder / (name + ending) for name in names for ending in ENDINGS]
    return [path for path in files if path.is_file()] + [
        folder / name for name in names if is_saved_dataset(folder / name)
    ]


def _find(folder: Path, names: tuple[str, ...]) -> Path:
    files = _candidates(folder, names)
    if not files:
        raise CorpusError(f"{folder} holds no {' or '.join(names)}{_any_ending()}; found {_listing(folder)}")
    if len(files) > 1:
        raise CorpusError(f"{folder} holds {' and '.join(path.name for path in files)}: remove all but one")
    return files[0]


def _any_ending() -> str:
    return f"({'|'.join((*TABLES, *COLUMNAR))})"


def _listing(folder: Path) -> str:
    return listed(sorted(path.name for path in folder.iterdir()))


def _read(task: Task[ExampleT, AnswerT], path: Path, log: Log) -> list[ExampleT]:
    """Return the examples of a file, or of a saved dataset of one split. Raises CorpusError if it does not have a row."""
    files = saved_files(path, "train") if path.is_dir() else [path]
    rows = [in_memory(row) for file in files for row in read_rows(file, headerless=task.headerless, log=log)]
    if not rows:
        raise CorpusError(
            f"{path}: expected a header line and examples below it, or a JSON object per line; found no rows"
        )
    return task.examples(rows, str(path), log)


def _from_hub(task: Task[ExampleT, AnswerT], log: Log) -> TaskData[ExampleT]:
    from datasets import disable_progress_bars, load_dataset

    title = ", ".join(task.hub)
    if not task.hub:
        raise CorpusError(f"{task.prefix}{task.name} is not a data set of the hub; give --data a file or a folder")
    disable_progress_bars()
    try:
        with waiting(f"reading {title} from the hub"):
            splits = load_dataset(*task.hub)
    except Exception as error:  # datasets raises what its many layers raise
        raise CorpusError(
            f"{title} cannot be loaded from the hub: {in_one_line(error)}; give --data a folder with the task's files"
        ) from error

    def examples(name: str) -> list[ExampleT]:
        if name not in splits:
            raise CorpusError(f"{title}: expected a split {name}, found {', '.join(splits)}")
        where = f"{title}, {name}"
        return task.examples([Row(row, f"{where}, row {n}") for n, row in enumerate(splits[name])], where, log)

    named = {"train": "train"} | {name: names[0] for name, names in task.development.items()}
    parts = {name: examples(split) for name, split in named.items()}
    return TaskData(parts.pop("train"), parts, {name: f"{title}, {split}" for name, split in named.items()})
