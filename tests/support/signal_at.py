"""A command that gets a signal at the first call of one of our functions: so every phase that has a name can be tried.

Runs in a process of support/commands.py. Modules that it imports count as functions too.
"""

import signal
import sys
from pathlib import Path

import miniend
from miniend.__main__ import main

PACKAGE = str(Path(miniend.__file__).parent)
NOT_COUNTED = ("runtime/stopping.py", "__main__.py")
"""What sets the handlers and puts them back."""


class FirstCalls:
    """A profile function that notes each function of the package when it is called first, and raises the signal at one."""

    def __init__(self, at, number):
        self._at, self._number = at, number
        self._seen = {}
        self.names = []

    def __call__(self, frame, event, _argument):
        code = frame.f_code
        if event != "call" or id(code) in self._seen:
            return
        self._seen[id(code)] = code  # kept, so that no other code gets its id
        path = code.co_filename.removeprefix(f"{PACKAGE}/")
        if path == code.co_filename or path in NOT_COUNTED or path.startswith("tests/"):
            return
        self.names.append(f"{path}: {code.co_qualname}")
        if len(self.names) == self._at + 1:
            sys.setprofile(None)
            signal.raise_signal(self._number)


def run():
    """Arguments: where to write the names, the number of the call (-1 for none), the signal, the command line."""
    names, at, number, *sys.argv[1:] = sys.argv[1:]
    calls = FirstCalls(int(at), int(number))
    sys.setprofile(calls)
    try:
        main()
    finally:
        sys.setprofile(None)
        Path(names).write_text("\n".join(calls.names))
