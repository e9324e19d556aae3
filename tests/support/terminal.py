"""A terminal: a pseudo-terminal for a program that asks whether it writes to one, and what its screen shows in the end."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
from contextlib import contextmanager
from typing import TextIO

MOVES = re.compile(r"\x1b\[A")
"""The only escape codes of a bar without colours: one line up."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """What was written to a pseudo-terminal of so many columns; without columns it does not have rows either."""

    def __init__(self, columns: int) -> None:
        self.columns, self._pieces = columns, list[bytes]()
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40 if columns else 0, columns, 0, 0))
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def stream(self) -> TextIO:
        """A text stream that writes to it."""
        return open(os.dup(self._slave), "w", encoding="utf-8")

    def close(self) -> None:
        """Wait for everything that was written."""
        os.close(self._slave)
        self._reader.join()
        os.close(self._master)

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._master, 65536)
            except OSError:  # the other end is closed
                return
            if not piece:
                return
            self._pieces.append(piece)

    @property
    def text(self) -> str:
        """All that was written."""
        return b"".join(self._pieces).decode()

    def screen(self) -> list[str]:
        """The lines that one sees in the end, however long the terminal is."""
        return screen_of(self.text, self.columns)


def screen_of(text: str, columns: int) -> list[str]:
    """The lines of a terminal after it got this text, without colours; what is too long goes on in the next line."""
    rows, row, column = [[]], 0, 0
    for token in re.findall(r"\x1b\[A|[^\x1b]", COLOURS.sub("", text)):
        if token == "\r":
            column = 0
        elif token in ("\n", "\x1b[A"):
            row += 1 if token == "\n" else -1
        else:
            if column == columns:
                row, column = row + 1, 0
            rows += [[] for _ in range(row + 1 - len(rows))]
            rows[row] += " " * (column + 1 - len(rows[row]))
            rows[row][column] = token
            column += 1
        rows += [[] for _ in range(row + 1 - len(rows))]
    return ["".join(one).rstrip() for one in rows]


@contextmanager
def terminal(monkeypatch, columns: int = 80, output: bool = True):
    """Let standard error be a terminal inside the block, and standard output too unless `output` is false."""
    made = Terminal(columns)
    streams = [made.stream()]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", streams[0])
    if output:
        streams.append(made.stream())
        monkeypatch.setattr(sys, "stdout", streams[1])
    try:
        yield made
    finally:
        monkeypatch.undo()
        for stream in streams:
            stream.close()
        made.close()
