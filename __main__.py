"""The `miniend` command, `python -m miniend`, and so `torchrun -m miniend`: signals are heard before other imports begin."""

import sys
from typing import NoReturn

from .runtime.stopping import KEEP_NOTHING, START_OVER, advise, ignore_signals, ignore_signals_at_exit, status_of

REPAIR = "--repair"
"""The option with which `verify` goes on."""


def main() -> None:
    """Run the command line of this process and exit with its status."""
    ignore_signals_at_exit()  # the first to be registered is the last to be called
    try:
        if sys.argv[1:2] and sys.argv[1] in KEEP_NOTHING and REPAIR not in sys.argv:
            advise(START_OVER)
        sys.exit(status_of(_command_line))
    finally:
        ignore_signals()


def _command_line() -> NoReturn:
    from .cli import main as command

    command()


if __name__ == "__main__":
    main()
