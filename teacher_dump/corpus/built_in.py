"""The corpora that need no file and no network: text that every Python environment has.

    python-docs      the language reference, which is in pydoc_data.topics
    python-source    the source of the standard library and of every installed package

They differ between environments, which the fingerprint of a corpus shows.
"""

import hashlib
import io
import sysconfig
import tokenize
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ...errors import CorpusError
from ...runtime.listing import everything_below
from ...runtime.progress import Log

DOCS_CHARACTERS = 2000
_PACKAGES = "site-packages"


def python_docs(_note: Log) -> Iterator[str]:
    """Yield the topics of `help()`, by key.

    We cut long topics at blank lines into documents of about DOCS_CHARACTERS. A sixth of the text is one topic, and validation
    examples come from whole documents.
    """
    from pydoc_data import topics

    for key in sorted(topics.topics):
        yield from _blocks_of(topics.topics[key])


def _blocks_of(topic: str) -> Iterator[str]:
    """Yield blocks of consecutive paragraphs of a topic, each of at least DOCS_CHARACTERS characters except the last."""
    block = ""
    for paragraph in topic.split("\n\n"):
        block = f"{block}\n\n{paragraph}" if block else paragraph
        if len(block) >= DOCS_CHARACTERS:
            yield block
            block = ""
    if block:
        yield block


def python_source(note: Log) -> Iterator[str]:
    """Yield the files, one document each, in the order of the hashes of their names, which mixes the packages.

    We leave out files with the content of one that came before, because a copy could be both held out and trained on, and files
    that are not text in the encoding that they name, such as those that test an editor. `note` gets their numbers.
    """
    seen: set[bytes] = set()
    files, copies, unreadable = source_files(), 0, 0
    for path in files:
        content = _content(path)
        digest = hashlib.sha256(content).digest()
        copies += digest in seen
        if digest not in seen:
            seen.add(digest)
            text = _decoded(content)
            unreadable += text is None
            if text is not None:
                yield text
    note(
        f"python-source: {len(files):,} files; left out: {copies:,} with the content of another, {unreadable:,} that are not text"
    )


def source_files() -> list[Path]:
    """Return the Python files of the standard library and of the installed packages, in the order of their names' hashes."""
    paths = sysconfig.get_paths()
    packages = {Path(paths[name]).resolve() for name in ("purelib", "platlib")}
    library = Path(paths["stdlib"]).resolve()
    # a virtual environment's packages are elsewhere; those beside the library are another environment's
    own = [path for path in _python_files(library) if _PACKAGES not in path.relative_to(library).parts]
    named = {str(path.relative_to(library)): path for path in own}
    for folder in sorted(packages):
        named |= {f"{_PACKAGES}/{path.relative_to(folder)}": path for path in _python_files(folder)}
    return [named[name] for name in sorted(named, key=lambda name: hashlib.sha256(name.encode()).digest())]


def _python_files(folder: Path) -> Iterator[Path]:
    try:
        return (path for path in everything_below(folder) if path.suffix == ".py" and path.is_file())
    except OSError as error:
        raise CorpusError(
            f"python-source cannot be listed ({error.strerror}: {error.filename}); make it readable"
        ) from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CorpusError(f"python-source cannot be read ({error.strerror}: {path}); make it readable") from error


def _decoded(content: bytes) -> str | None:
    """Return the text of a source file in the encoding that it names (PEP 263); None if it is not text in it."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        return content.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return None


BUILT_IN: Mapping[str, Callable[[Log], Iterator[str]]] = {"python-docs": python_docs, "python-source": python_source}
"""The name of a corpus -> a function that yields its documents, and tells a log what it left out."""
