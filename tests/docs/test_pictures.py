"""The pictures of the documentation: drawn from numbers that the measurements state, and readable everywhere."""

import importlib.util
import json
import re
import sys
from xml.etree import ElementTree

import pytest

from support.pages import ROOT

PICTURES = ROOT / "docs" / "pictures"
MEASUREMENTS = ROOT / "docs" / "results" / "measurements.md"
DATA = sorted(PICTURES.glob("*.json"))


def load(name):
    """A script of docs/pictures as a module."""
    spec = importlib.util.spec_from_file_location(name, PICTURES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def numbers(value):
    """All numbers in a JSON value."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from numbers(one)
    elif isinstance(value, int | float):
        yield value


@pytest.mark.parametrize("path", DATA, ids=lambda path: path.stem)
def test_the_numbers_of_a_picture_are_those_of_its_section(path):
    """Two copies of a measurement drift apart unless somebody compares them."""
    data = json.loads(path.read_text(encoding="utf-8"))
    section = MEASUREMENTS.read_text(encoding="utf-8").partition(f"\n## {data['section']}\n")[2].partition("\n## ")[0]
    stated = {float(one.replace(",", "")) for one in re.findall(r"\d[\d,]*(?:\.\d+)?", section)}
    found = list(numbers(data))
    assert len(found) > 4
    assert [one for one in found if float(one) not in stated] == []
    commands = [data["command"]] if "command" in data else [panel["command"] for panel in data["panels"]]
    assert all(command.partition(" ")[2] in section for command in commands)


@pytest.mark.parametrize("path", sorted(PICTURES.glob("*.svg")), ids=lambda path: path.stem)
def test_a_picture_is_whole_and_loads_nothing(path):
    """A picture that fetches a font or a script shows a box in a README."""
    root = ElementTree.parse(path).getroot()
    assert root.tag.endswith("svg")
    assert root.get("viewBox")
    outside = [value for one in root.iter() for key, value in one.attrib.items() if key.endswith(("href", "src"))]
    assert [value for value in outside if not value.startswith("#")] == []


def test_every_data_file_is_drawn(tmp_path):
    """The script draws what is in the repository, from the files beside it."""
    script = load("draw")
    assert sorted(script.PICTURES) == [path.stem for path in DATA]
    script.main(tmp_path)
    for path in DATA:
        assert ElementTree.parse(tmp_path / f"{path.stem}.svg").getroot().get("viewBox")


def test_a_recording_keeps_every_line_and_is_drawn_in_order(tmp_path):
    """What the program printed is what the picture shows, also where it looks like markup."""
    program = "import time; print('one <&>', flush=True); time.sleep(0.2); print('  two'); print('x' * 121)"
    recording = tmp_path / "some.cast"
    assert load("record").record(recording, [sys.executable, "-c", program]) == 0
    header, *events = (json.loads(line) for line in recording.read_text().splitlines())
    assert header["version"] == 2
    assert [event[2] for event in events] == ["one <&>\r\n", "  two\r\n", "x" * 121 + "\r\n"]
    assert events[1][0] > events[0][0]
    root = ElementTree.fromstring(load("terminal").draw(recording))
    lines = [one for one in root.iter() if one.tag.endswith("text")]
    assert [one.text for one in lines[1:]] == ["one <&>", "  two", "x" * 120, "x"], "a terminal of 120 columns"
    delays = [float(re.search(r"delay:([\d.]+)s", one.get("style"))[1]) for one in lines]
    assert delays == sorted(delays)
    assert len({one.get("y") for one in lines}) == len(lines)
