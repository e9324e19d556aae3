"""Write a report beside its pictures, as report.md and report.html."""

from collections.abc import Iterable
from pathlib import Path

from ..durable import write_durably
from .as_html import as_html
from .as_markdown import as_markdown
from .blocks import Block

MARKDOWN, HTML = "report.md", "report.html"


def write_report(folder: Path, blocks: Iterable[Block]) -> Path:
    """Write both forms into the folder of the pictures, and return the path of the HTML file."""
    report = list(blocks)
    write_durably(folder / MARKDOWN, as_markdown(report).encode())
    write_durably(folder / HTML, as_html(report).encode())
    return folder / HTML
