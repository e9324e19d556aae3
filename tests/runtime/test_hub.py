"""Commits of the hub: a passing refusal is tried again, and neither it nor a new commit makes a begun dump another one."""

from types import SimpleNamespace

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from miniend.runtime import hub
from miniend.runtime.hub import PAUSES, commit_of

OLD, NEW = "a" * 40, "b" * 40


def refusal(status):
    error = HfHubHTTPError.__new__(HfHubHTTPError)
    OSError.__init__(error, f"{status} from the hub")
    error.response = SimpleNamespace(status_code=status)
    return error


@pytest.fixture
def answers(monkeypatch):
    """answers(*errors): what the hub does, call by call, before it names the new commit; returns the pauses and the calls."""
    log = SimpleNamespace(pauses=[], calls=[])

    def install(*errors):
        left = list(errors)

        def info(_self, name, revision=None, timeout=None):
            log.calls.append((name, revision))
            if left:
                raise left.pop(0)
            return SimpleNamespace(sha=NEW)

        for kind in ("model_info", "dataset_info"):
            monkeypatch.setattr(HfApi, kind, info)
        monkeypatch.setattr(hub, "sleep", log.pauses.append)
        return log

    return install


@pytest.mark.parametrize("kind", ["model", "dataset"])
@pytest.mark.parametrize("error", [refusal(429), refusal(503), ConnectionError("reset"), TimeoutError()])
def test_a_passing_refusal_is_tried_again(answers, kind, error):
    """One 429 at a resume said that the dump "was begun with other settings: revision aaaa, now None"."""
    log = answers(error, error)
    assert commit_of(kind, "owner/name", "main", None) == NEW
    assert log.pauses == list(PAUSES[:2])


def test_a_hub_that_does_not_answer_leaves_the_commit_that_was_known(answers):
    """Nobody else knows; another setting it is not."""
    log = answers(*[refusal(429)] * 9)
    assert commit_of("dataset", "owner/name", "main", OLD) == OLD
    assert len(log.calls) == 1 + len(PAUSES)
    assert commit_of("dataset", "owner/name", "main", None) is None


@pytest.mark.parametrize("error", [refusal(404), refusal(401), OfflineModeIsEnabled(), ValueError("not a name")])
def test_a_refusal_that_stays_is_not_waited_for(answers, error):
    """Without a network on purpose, or for a name that is not there, every start would take 20 seconds longer."""
    log = answers(error)
    assert commit_of("dataset", "owner/name", None, None) is None
    assert log.pauses == []


def test_without_a_revision_a_begun_work_goes_on_at_its_commit(answers):
    """The data set got a new commit between two runs; who asks for the branch by name gets the branch."""
    log = answers()
    assert commit_of("dataset", "owner/name", None, OLD) == OLD
    assert log.calls == []
    assert commit_of("dataset", "owner/name", "main", OLD) == NEW
    assert commit_of("dataset", "owner/name", None, None) == NEW
    assert commit_of("dataset", "owner/name", OLD, None) == OLD
    assert log.calls == [("owner/name", "main"), ("owner/name", None)]
