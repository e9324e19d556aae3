"""The `miniend` command, `python -m miniend`, and so `torchrun -m miniend`: signals are heard before other imports begin."""

import sys
from typing import NoReturn

from .runtime.stopping import ignore_signals, status_of


def main() -> None:
    """Run the command line of this process and exit with its status."""
    try:
        sys.exit(status_of(_command_line))
    finally:
        ignore_signals()


def _command_line() -> NoReturn:
    from .cli import main as command

    command()


if __name__ == "__main__":
    main()
