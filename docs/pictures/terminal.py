"""Draw a recording of `record.py` as a moving SVG: the lines appear in the recorded order, and all of them stay.

    python docs/pictures/terminal.py docs/pictures/demo.cast docs/pictures/demo.svg

Waits of minutes are cut to a second; the seconds that the program itself prints are not changed.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

LINE, LETTER, MARGIN = 19, 7.85, 18
"""Height of a line, width of a letter, and margin, in pixels."""
LONGEST_WAIT, SHORTEST_WAIT = 1.0, 0.08
"""Seconds between two lines."""
STYLE = """
svg { background: #12171d; }
text { font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #dce3ea; white-space: pre; }
.command { fill: #7fd1ae; }
@keyframes appear { from { opacity: 0; } to { opacity: 1; } }
.line { animation: appear 0.15s both; }
@media (prefers-reduced-motion: reduce) { .line { animation: none; } }
"""


def draw(recording: Path) -> str:
    """Return the SVG of a recording."""
    header, *events = (json.loads(line) for line in recording.read_text(encoding="utf-8").splitlines())
    lines = [(0.0, f"$ {header['command']}"), *_shown(events, header["width"])]
    width = round(2 * MARGIN + LETTER * max(len(text) for _, text in lines))
    height = 2 * MARGIN + LINE * len(lines)
    body = "\n".join(_line(number, second, text) for number, (second, text) in enumerate(lines))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">\n'
        f"<title>{escape(header['command'])}</title>\n<style>{STYLE}</style>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="#12171d"/>\n{body}\n</svg>\n'
    )


def _shown(events: list[tuple[float, str, str]], width: int) -> Iterator[tuple[float, str]]:
    """Yield the second at which each line of the terminal appears, and the line; longer ones wrap."""
    now, before = 0.6, 0.0
    for second, _, text in events:
        now += min(max(second - before, SHORTEST_WAIT), LONGEST_WAIT)
        before = second
        line = text.rstrip()
        for start in range(0, max(len(line), 1), width):
            yield now, line[start : start + width]


def _line(number: int, second: float, text: str) -> str:
    kind = "line" if number else "command"
    height = MARGIN + LINE * number + 13
    return f'<text class="{kind}" style="animation-delay:{second:.2f}s" x="{MARGIN}" y="{height}">{escape(text)}</text>'


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(draw(Path(sys.argv[1])), encoding="utf-8")
