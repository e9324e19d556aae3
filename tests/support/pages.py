"""The pages of the documentation: README.md, docs/, and the pages elsewhere that the site takes in."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
GENERATED = "<!-- Written by docs/reference/generate.py"
"""How a page starts, below its title, that is written from the code."""
_HTML_LINK = re.compile(r"""(?:src|href|srcset)=["']([^"']+)["']""")


def written() -> list[Path]:
    """Return the pages that a person writes, without the format, whose sentences are a specification's."""
    found = (page for page in pages() if page != ROOT / "storage" / "SPEC.md")
    return [page for page in found if GENERATED not in page.read_text(encoding="utf-8")]


def pages() -> list[Path]:
    """Return all pages of the site."""
    outside = ("README.md", "storage/SPEC.md", "benchmarks/README.md")
    return [*(ROOT / name for name in outside), *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    """Return the page's path in the repository, to name a test after."""
    return page.relative_to(ROOT).as_posix()


def links(markdown: str) -> Iterator[str]:
    """Yield the targets of all links and pictures."""
    for token in _all(_parsed(markdown)):
        if token.type in ("link_open", "image"):
            yield str(token.attrs.get("href") or token.attrs.get("src"))
        elif token.type in ("html_block", "html_inline"):
            yield from _HTML_LINK.findall(token.content)


def anchors(markdown: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings."""
    tokens = _parsed(markdown)
    titles = [_text(inline) for heading, inline in pairwise(tokens) if heading.type == "heading_open"]
    found: set[str] = set()
    for title in titles:
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        number = next(n for n in range(len(titles)) if (f"{anchor}-{n}" if n else anchor) not in found)
        found.add(f"{anchor}-{number}" if number else anchor)
    return found


def code_blocks(markdown: str, *languages: str) -> list[str]:
    """Return the fenced blocks in one of the languages; the empty text stands for a block without one."""
    return [token.content for token in _parsed(markdown) if token.type == "fence" and token.info.strip() in languages]


def inline_code(markdown: str) -> list[str]:
    """Return the pieces of inline code."""
    return [token.content for token in _all(_parsed(markdown)) if token.type == "code_inline"]


def _parsed(markdown: str) -> list[Token]:
    return MarkdownIt().enable("table").parse(markdown)


def _all(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or [])


def _text(inline: Token) -> str:
    return "".join(token.content for token in inline.children or () if token.type in ("text", "code_inline"))
