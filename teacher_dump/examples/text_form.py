"""How a text is written for the teacher: what is put before it, how its letters are spelled, and whether padding follows."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from ...data.long_text import LongText, Text, parts_of
from ...storage.documents.plan import Task
from .residues import spaced


@dataclass(frozen=True, slots=True)
class TextForm:
    """The form of the first text of each document; a target is written as it is."""

    prefix: str = ""
    residues: str | None = None
    padding_id: int | None = None
    """The id that fills every text up to the longest length; None for ragged texts."""

    @classmethod
    def of(cls, task: Task, pad_id: int) -> "TextForm":
        """Return the form that a task asks for."""
        return cls(task.prefix or "", task.residues, pad_id if task.padded else None)

    def parts(self, text: Text) -> Iterable[str]:
        """Return the text in parts, as it is tokenized; a short one is one part."""
        parts = spaced(parts_of(text)) if self.residues else parts_of(text)
        return chain([self.prefix], parts) if isinstance(text, LongText) else [self.prefix + "".join(parts)]

    def filled(self, ids: list[int], length: int) -> list[int]:
        """Return the ids with their padding."""
        return ids if self.padding_id is None else [*ids, *[self.padding_id] * (length - len(ids))]


PLAIN = TextForm()
