"""Every link of README.md and docs/ leads to a file, and to a heading where it names one."""

import pytest

from support.pages import ROOT, anchors, links, name_of, pages


def broken(page, markdown):
    """The links of a page that lead nowhere."""
    for link in links(markdown):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        found = target.is_relative_to(ROOT) and target.is_file()
        if found and anchor:
            found = anchor in anchors(target.read_text(encoding="utf-8") if path else markdown)
        if not found:
            yield link


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_and_anchors_lead_somewhere(page):
    """A reader who meets one dead link trusts none of the others."""
    assert list(broken(page, page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "link",
    [
        "[a](docs/nowhere.md)",
        "[a](docs/guide/dump.md#nowhere)",
        "[a](#nowhere)",
        "![a](docs/nowhere.svg)",
        '<img src="docs/nowhere.svg">',
        "[a](../outside.md)",
        "[a](docs)",
    ],
)
def test_a_broken_link_is_found(link):
    """A check that reads links wrongly passes for ever."""
    assert len(list(broken(ROOT / "README.md", f"# Title\n\n{link}\n"))) == 1


def test_anchors_are_those_of_github():
    """Punctuation goes, blanks become hyphens, and a second heading of the same name gets a number."""
    markdown = "# A page: `code`, and (more)\n\n## Same\n\n## Same\n\n[a](#same-1) [b](https://example.org/#x)\n"
    assert anchors(markdown) == {"a-page-code-and-more", "same", "same-1"}
    assert list(broken(ROOT / "README.md", markdown)) == []


def test_every_page_can_be_reached_from_the_readme():
    """A page that nothing links to is read by nobody."""
    found, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in found:
            found.add(page)
            paths = [link.partition("#")[0] for link in links(page.read_text(encoding="utf-8")) if "://" not in link]
            waiting += [(page.parent / path).resolve() for path in paths if path.endswith(".md")]
    assert [name_of(page) for page in pages() if page not in found] == []
