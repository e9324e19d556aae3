"""Refusals of the hub: what passes, and what a line may not hold."""

from types import SimpleNamespace

import pytest

from miniend.errors import ConfigurationError, ObjectStoreError
from miniend.runtime.hub_errors import explained, is_refusal, passes, status_of


def refusal(status, text="no"):
    error = OSError(text)
    error.response = SimpleNamespace(status_code=status)
    return error


def raised_from(cause):
    try:
        raise RuntimeError("Error while uploading 'x' to the Hub.") from cause
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("status", "again"), [(401, False), (403, False), (404, False), (408, True), (429, True), (500, True), (504, True)]
)
def test_only_what_passes_by_itself_is_tried_again(status, again):
    """Asking a hundred times for what is forbidden looks like an attack."""
    assert passes(refusal(status)) is again
    assert passes(raised_from(refusal(status))) is again
    assert status_of(raised_from(refusal(status))) == status


def test_tokens_and_signed_addresses_are_cut_out_of_what_the_hub_says():
    """Logs are shared with colleagues, and read by strangers."""
    text = "bad: https://cdn/x?X-Signature=abc&y=1 with hf_abcdefghij\nand more"
    line = str(explained(refusal(400, text), "the model me/x"))
    assert line == "the hub refuses the model me/x (400): bad: https://cdn/x... with ... and more"


def test_a_mistake_of_ours_is_not_taken_for_a_refusal():
    """It would hide behind a line about the network."""
    assert not is_refusal(KeyError("x"))
    assert is_refusal(ConnectionResetError())
    assert isinstance(explained(TimeoutError(), "the model x"), ObjectStoreError)


def test_offline_on_purpose_is_a_setting():
    """Nothing is wrong with the network."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    error = OfflineModeIsEnabled("no")
    assert not passes(error)
    assert isinstance(explained(error, "the model x"), ConfigurationError)
