"""Progress: lines in a file, bars in a terminal, nothing where it is not wanted, and always a sign of life."""

import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from miniend.runtime import progress
from miniend.runtime.printing import Level, set_level, tell
from miniend.runtime.progress import progress_bar, quiet_transformers, span, waiting
from support.terminal import MOVES, terminal


@pytest.fixture(autouse=True)
def usual(monkeypatch, no_progress):
    """Each test begins with what a command begins with."""
    monkeypatch.setattr(progress, "FIRST_AFTER", no_progress)
    set_level(Level.NORMAL)
    yield
    set_level(Level.NORMAL)


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets; the thread of the sign of life never wakes."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress, "monotonic", lambda: now.seconds)
    monkeypatch.setattr(progress, "BEAT", 1e6)
    return now


def lines(capsys):
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_a_file_gets_a_line_after_ten_seconds_and_then_every_thirty(capsys, clock):
    """A job on a cluster that reads a corpus for an hour looked dead, and a bar would fill its log."""
    with progress_bar("train", 10_000, "step") as bar:
        for second in range(1, 76):
            clock.seconds = second
            bar.update(20, facts=f"loss {9 - second / 100:.2f}")
    assert lines(capsys) == [
        "train: 200 of 10,000 steps, 20 steps/s, 8.2 min left, loss 8.90",
        "train: 800 of 10,000 steps, 20 steps/s, 7.7 min left, loss 8.60",
        "train: 1,400 of 10,000 steps, 20 steps/s, 7.2 min left, loss 8.30",
        "train: 1,500 steps in 75 s",
    ]


def test_numbers_may_be_bytes_or_without_an_end_and_work_may_have_begun_before(capsys, clock):
    with progress_bar("reading", 10**9, "B", scaled=True) as bar:
        clock.seconds = 20.0
        bar.update(10**8)
    with progress_bar("dump", 100, "example", initial=40) as bar:
        clock.seconds = 80.0
        bar.update(6)
        clock.seconds = 680.0
        bar.update(54)
    with progress_bar("segments", None, "batch") as bar:
        clock.seconds = 700.0
        bar.update(2000)
    assert lines(capsys) == [
        "reading: 100 MB of 1 GB, 5 MB/s, 3 min left",
        "reading: 100 MB in 20 s",
        "dump: 46 of 100 examples, 10 s/example, 9 min left",
        "dump: 100 of 100 examples, 11 s/example, 11 min so far",
        "dump: 100 examples (40 were there) in 11 min",
        "segments: 2,000 batches, 100 batches/s, 20 s so far",
        "segments: 2,000 batches in 20 s",
    ]


def test_a_step_that_takes_long_does_not_make_the_rest_look_longer(capsys, clock):
    """The rate fell while nothing was done, and `left` grew from 10 to 18 minutes."""
    with progress_bar("codes", 3, "site") as bar:
        clock.seconds = 60.0
        bar.update()
        bar.update(0, facts="now encoder.self@3")
        clock.seconds = 100.0
        bar.beat()
        clock.seconds = 200.0
        bar.beat()
    assert lines(capsys)[:3] == [
        "codes: 1 of 3 sites, 60 s/site, 2 min left",
        "codes: 1 of 3 sites, 60 s/site, 80 s left, now encoder.self@3",
        "codes: 1 of 3 sites, 60 s/site, 3.3 min so far, now encoder.self@3",
    ]


def test_work_without_numbers_lives_too_and_an_error_ends_it(capsys, clock):
    with waiting("loading t5-11b") as work:
        for clock.seconds in (5.0, 11.0, 30.0, 41.0):
            work.beat()
    with pytest.raises(OSError, match="gone"), progress_bar("verify", 9, "folder") as bar:  # noqa: PT012
        clock.seconds = 60.0
        bar.update(2)
        raise OSError("gone")
    assert lines(capsys) == [
        "loading t5-11b: 11 s so far",
        "loading t5-11b: 41 s so far",
        "loading t5-11b: took 41 s",
        "verify: 2 of 9 folders, 9.5 s/folder, 66 s left",
        "verify: stopped at 2 of 9 folders after 19 s",
    ]


def test_short_work_leaves_a_line_only_if_times_are_wanted(capsys, clock):
    """A log of 30 lines about 30 things that took a second hides the one that counts."""
    for level, expected in ((Level.NORMAL, []), (Level.VERBOSE, ["calibration: 1 example in 2.0 s"])):
        set_level(level)
        with progress_bar("calibration", 1, "example") as bar, waiting("loading"):
            clock.seconds += 2.0
            bar.update()
        assert lines(capsys) == expected


def test_a_line_has_at_most_a_hundred_columns(capsys, clock):
    """A path as a name, or many students' losses, do not push the numbers out."""
    with progress_bar("x" * 200, 10**9, "example") as bar:
        clock.seconds = 15.0
        bar.update(10**8 + 1, facts="y" * 200)
    first, last = lines(capsys)
    assert len(first) <= 100
    assert re.search("100,000,001 of 1,000,000,000 examples, 6,666,667 examples/s", first)
    assert len(last) <= 100


@pytest.mark.parametrize("rank", ["RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK"])
def test_only_the_first_process_shows_progress(capsys, clock, monkeypatch, rank):
    for number, count in (("0", 2), ("1", 0), ("x", 0)):
        monkeypatch.setenv(rank, number)
        with progress_bar("dump", 10, "example") as bar:
            clock.seconds += 20.0
            bar.update()
        assert len(lines(capsys)) == count


def test_quiet_and_not_shown_show_nothing(capsys, clock, monkeypatch):
    for shown, level in ((False, Level.NORMAL), (True, Level.QUIET)):
        set_level(level)
        with progress_bar("dump", 10, "example", shown=shown) as bar:
            clock.seconds += 50.0
            bar.update()
            bar.beat()
            assert (bar.n, bar.shown) == (1, False)
        assert lines(capsys) == []
        with terminal(monkeypatch) as screen, progress_bar("dump", 10, "example", shown=shown) as bar:
            bar.update()
        assert screen.text == ""


def test_the_innermost_work_shows_that_it_lives_by_itself(monkeypatch):
    """An update that takes an hour shows nothing by itself."""
    heard = threading.Event()

    def hear(line, err):
        assert err
        if line.startswith("inner: "):
            heard.set()

    monkeypatch.setattr(progress, "tell", hear)
    monkeypatch.setattr(progress, "BEAT", 0.001)
    monkeypatch.setattr(progress, "FIRST_AFTER", 0.0)
    with progress_bar("outer", 3, "step"), waiting("inner"):
        assert heard.wait(60)


def test_a_bar_in_a_terminal_and_lines_beside_it_do_not_tear_each_other(monkeypatch):
    """A line that is printed into a bar is half of each."""
    with terminal(monkeypatch) as screen:
        with progress_bar("train", 30, "step") as bar:
            for step in range(1, 31):
                bar.update(facts=f"loss {step}")
                with progress_bar("validation", 2, "batch", kept=False) as inner:
                    inner.update(2)
                    bar.beat()
                if step % 10 == 0:
                    tell(f"step {step}: validation 5.91 nats")
                    tell(f"step {step}: saved checkpoint", err=True)
        tell("trained 30 steps")
    rows = [row for row in screen.screen() if row]
    expected = [f"step {n}: {what}" for n in (10, 20, 30) for what in ("validation 5.91 nats", "saved checkpoint")]
    assert rows[:6] == expected
    assert re.fullmatch(r"train: 100%\|.*\| 30/30 \[.*loss 30\]", rows[6])
    assert rows[7:] == ["trained 30 steps"]
    assert "\x1b" not in MOVES.sub("", screen.text)


def test_a_terminal_that_has_no_width_gets_a_bar_all_the_same(monkeypatch):
    """In CI and in containers a terminal often says 0 columns; tqdm then wrote minutes of empty lines."""
    with terminal(monkeypatch, columns=0) as screen, progress_bar("dump", 10, "example") as bar:
        bar.update(10)
        bar.beat()
    assert "dump: 100%|" in screen.text
    assert "10/10" in screen.text


def test_a_bar_without_numbers_shows_the_time_and_leaves_nothing(monkeypatch):
    with terminal(monkeypatch) as screen, waiting("loading t5-11b") as work:
        work.beat()
    assert "loading t5-11b: 00:00" in screen.text
    assert [row for row in screen.screen() if row] == []


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch, clock):
    """The shell of Emacs shows each step of a bar as a line of its own."""
    with terminal(monkeypatch) as screen:
        monkeypatch.setenv("TERM", "dumb")
        with progress_bar("train", 30, "step") as bar:
            clock.seconds = 12.0
            bar.update()
    assert screen.screen()[0] == "train: 1 of 30 steps, 12 s/step, 5.8 min left"


KERNEL = """
import sys, types

class ZMQInteractiveShell:
    pass

sys.modules["ipykernel.zmqshell"] = types.ModuleType("ipykernel.zmqshell")
sys.modules["IPython"] = types.ModuleType("IPython")
sys.modules["IPython"].get_ipython = ZMQInteractiveShell
from miniend.runtime.progress import progress_bar
with progress_bar("train", 2, "step") as bar:
    bar.update(2, facts="loss 5.91")
"""


def test_a_notebook_without_widgets_gets_a_bar_of_text_and_no_warning():
    """tqdm.auto warns there of a package that nobody needs."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", KERNEL], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "train: 100%|" in done.stderr
    assert "loss 5.91" in done.stderr


def test_transformers_draws_no_bar_and_has_its_own_again_afterwards(monkeypatch):
    """`Loading weights: 100%` beside our own, once for each student."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled
    from transformers.utils import logging

    monkeypatch.setattr(logging, "_tqdm_active", True)
    with terminal(monkeypatch), quiet_transformers():
        assert (logging.is_progress_bar_enabled(), logging.get_verbosity()) == (False, logging.ERROR)
    logging.enable_progress_bar()
    with quiet_transformers():
        assert are_progress_bars_disabled()
    assert logging.is_progress_bar_enabled()
    with terminal(monkeypatch), quiet_transformers():
        assert not are_progress_bars_disabled()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0.4 s"),
        (4.24, "4.2 s"),
        (43, "43 s"),
        (150, "2.5 min"),
        (2600, "43 min"),
        (18_400, "5.1 h"),
        (3e5, "3.5 days"),
    ],
)
def test_a_time_has_two_digits(seconds, text):
    assert span(seconds) == text
