"""The errors that MiniEnD raises on purpose. The command line prints only the message and exits with 2.

    MiniEndError
     ├─ ConfigurationError   (ValueError)         a setting that cannot work, or settings that contradict each other
     ├─ CorpusError          (ValueError)         the corpus is missing, empty, too short or lacks a field
     ├─ CheckpointError      (ValueError)         a checkpoint is not a T5, is incomplete or cannot be read
     ├─ TeacherError         (ValueError)         the teacher's tokenizer or its answers cannot be used
     ├─ CacheMismatchError   (ValueError)         the cache holds something else than what was asked for
     ├─ CacheDamagedError    (OSError)            bytes on disk are not the bytes that were published
     ├─ ObjectStoreError     (OSError)            the object store cannot be reached, or refuses a request
     ├─ CacheUnfinishedError (RuntimeError)       the dump has not published everything that it planned
     ├─ OutputBusyError      (RuntimeError)       another process writes into the output directory
     ├─ RunMismatchError     (ValueError)         the output directory holds another training run
     └─ TrainingError        (RuntimeError)       the training cannot go on (a loss that is not finite, ...)

A notebook shows only the message too. Every message says what was expected, what was found and what to do.
"""

LONGEST_VALUE = 60
"""The largest number of characters of a value in a message."""
LONGEST_MESSAGE = 10_000
"""The largest number of characters of a message: two of the longest paths, and the words around them."""


class MiniEndError(Exception):
    """The base of all errors that a user can cause or fix. Its message is one line, whatever names are in it.

    A stranger's file can hold values of megabytes. Then the middle of the message is left out, because the advice is at its end.
    """

    def __str__(self) -> str:
        text = one_line(super().__str__())
        half = LONGEST_MESSAGE // 2
        return text if len(text) <= LONGEST_MESSAGE else f"{text[:half]} ... {text[-half:]}"

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows of it: the line, without a traceback through our code."""
        return [f"{type(self).__name__}: {self}"]


class ConfigurationError(MiniEndError, ValueError):
    """A setting that cannot work, or settings that contradict each other."""


class CorpusError(MiniEndError, ValueError):
    """The corpus is missing, empty, too short or lacks a field."""


class CheckpointError(MiniEndError, ValueError):
    """A checkpoint is not a T5, is incomplete or cannot be read."""


class TeacherError(MiniEndError, ValueError):
    """The teacher's tokenizer or its answers cannot be used."""


class CacheMismatchError(MiniEndError, ValueError):
    """The cache holds something else than what was asked for."""


class CacheDamagedError(MiniEndError, OSError):
    """Bytes on disk are not the bytes that were published."""


class ObjectStoreError(MiniEndError, OSError):
    """The object store cannot be reached, or refuses a request."""


class CacheUnfinishedError(MiniEndError, RuntimeError):
    """The dump has not published everything that it planned."""


class OutputBusyError(MiniEndError, RuntimeError):
    """Another process writes into the output directory."""


class RunMismatchError(MiniEndError, ValueError):
    """The output directory holds another training run."""


class TrainingError(MiniEndError, RuntimeError):
    """The training cannot go on."""


class NotFiniteError(TrainingError):
    """A loss or its gradient is infinite or not a number."""


def one_line(text: str) -> str:
    """Return the text with every character that does not print, such as a line break or ESC, spelled as in Python.

    Names of teachers, files and tokens are not ours. Everything that we print passes here, so that a name cannot write another
    line, or reach what the terminal does.
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def damaged(thing: object, what: str, advice: str = "Restore the folder, or dump it again") -> CacheDamagedError:
    """Return the error of a file, folder or cache whose content cannot be what was published, for the caller to raise."""
    return CacheDamagedError(f"{thing} is damaged: {what}. {advice}")


def shortened(value: object, longest: int = LONGEST_VALUE) -> str:
    """Return a value's text for a message: in one line, cut if it is too long for it."""
    text = one_line(" ".join(str(value).split()))
    return text if len(text) <= longest else text[: longest - 3] + "..."


def in_one_line(error: BaseException, longest: int = 300) -> str:
    """Return the text of a library's error in one line of at most `longest` characters, or its type if the text is empty."""
    return shortened(str(error), longest) or type(error).__name__
