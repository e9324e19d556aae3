"""Record a command as an asciicast: each line of its output with the second at which it came.

    python docs/pictures/record.py docs/pictures/demo.cast miniend demo

The file has version 2 of the format of asciinema (https://docs.asciinema.org/manual/asciicast/v2/); `terminal.py` draws it.
"""

import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter

WIDTH = 120


def record(path: Path, command: list[str]) -> int:
    """Run the command, print what it prints, write both to `path`, and return its exit status."""
    begun, lines = perf_counter(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append((round(perf_counter() - begun, 1), "o", line.rstrip("\n") + "\r\n"))
    header = {"version": 2, "width": WIDTH, "height": len(lines) + 1, "command": " ".join(command)}
    path.write_text("".join(json.dumps(one) + "\n" for one in (header, *lines)))
    return process.returncode


if __name__ == "__main__":
    sys.exit(record(Path(sys.argv[1]), sys.argv[2:]))
