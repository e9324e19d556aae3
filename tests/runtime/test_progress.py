"""Progress in a file."""

from miniend.runtime import progress
from miniend.runtime.progress import progress_bar


def test_a_file_gets_a_line_now_and_then(capsys, monkeypatch):
    """A job on a cluster that reads a corpus for an hour looked dead, and a bar would fill its log."""
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    with progress_bar("reading", 10**9, "B", scaled=True, lines=True) as bar, progress_bar("other", 3, "file") as other:
        for now[0] in (10.0, 31.0, 40.0, 62.0):
            bar.update(10**8)
            other.update()
    assert capsys.readouterr().err.splitlines() == ["reading: 200 MB of 1 GB", "reading: 400 MB of 1 GB"]
    with progress_bar("segments", None, "segment", lines=True) as bar:
        now[0] = 100.0
        bar.update(2000)
    assert capsys.readouterr().err == "segments: 2,000 segments\n"
