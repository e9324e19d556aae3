"""What goes wrong with the Hugging Face hub: whether another try may help, and one line for people on each refusal.

The lines are ours, since the hub's own texts hold signed addresses. They never hold a token.
"""

import re
from collections.abc import Iterator

from ..errors import ConfigurationError, MiniEndError, ObjectStoreError, in_one_line

PASSING = (408, 425, 429)
"""The HTTP statuses below 500 of a refusal that passes."""
SIGN_IN = "sign in with `hf auth login`, or set HF_TOKEN"
_SECRET = re.compile(r"\bhf_\w+|\?\S*")
"""A token of the hub, or the signed part of an address."""


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of a refusal, or of the refusal that an error was raised from; None without one."""
    for one in _chain(error):
        status = getattr(getattr(one, "response", None), "status_code", None)
        if status is not None:
            return int(status)
    return None


def is_offline(error: BaseException) -> bool:
    """Return whether HF_HUB_OFFLINE forbids the request."""
    return any(type(one).__name__ == "OfflineModeIsEnabled" for one in _chain(error))


def passes(error: BaseException) -> bool:
    """Return whether another try may succeed: not without a network on purpose, nor for a repository that is not there."""
    if is_offline(error):
        return False
    status = status_of(error)
    if status is not None:
        return status in PASSING or status >= 500
    return _is_of_network(error)


def explained(error: BaseException, what: str) -> MiniEndError:
    """Return the error of `what`, such as `the dataset me/cache`, for the caller to raise."""
    status = status_of(error)
    if is_offline(error):
        return ConfigurationError(f"{what} on the hub cannot be reached, because HF_HUB_OFFLINE is set: unset it")
    if any(type(one).__name__ == "LocalTokenNotFoundError" for one in _chain(error)):
        return ConfigurationError(f"no token for {what} on the hub: {SIGN_IN}")
    if any(type(one).__name__ == "HFValidationError" for one in _chain(error)):
        return ConfigurationError(f"{what}: the hub cannot have a name like this; expected USER/NAME")
    if status == 401:
        return ObjectStoreError(f"the hub does not know who asks for {what} (401), or it does not exist: {SIGN_IN}")
    if status == 403:
        return ObjectStoreError(
            f"the hub refuses access to {what} (403): check the rights of your token and of your account"
        )
    if status == 404:
        return ConfigurationError(
            f"{what} does not exist on the hub (404), or not for you: check the name, or {SIGN_IN}"
        )
    if status == 409:
        return ObjectStoreError(f"somebody else has changed {what} at the same time (409): run the same command again")
    if status == 429:
        return ObjectStoreError(
            f"the hub has had too many requests for {what} (429): run the same command again in some minutes"
        )
    if status is not None and status >= 500:
        return ObjectStoreError(f"the hub fails to answer for {what} ({status}): run the same command again later")
    if status is not None:
        return ObjectStoreError(f"the hub refuses {what} ({status}): {_text(error)}")
    if _is_of_network(error):
        return ObjectStoreError(
            f"the connection to the hub failed ({what}): check the network, and HF_ENDPOINT if you set it, and run the same "
            "command again"
        )
    return ObjectStoreError(f"{what} on the hub: {_text(error)}")


def is_refusal(error: BaseException) -> bool:
    """Return whether an error comes from the hub or the way to it, and not from a mistake of ours."""
    return (
        is_offline(error)
        or status_of(error) is not None
        or _is_of_network(error)
        or any(type(one).__module__.startswith("huggingface_hub") for one in _chain(error))
    )


def _is_of_network(error: BaseException) -> bool:
    """Return whether a connection failed. The library for HTTP depends on the version of huggingface_hub."""
    for one in _chain(error):
        if type(one).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"):
            return True
        if isinstance(one, ConnectionError | TimeoutError):
            return True
    return False


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _text(error: BaseException) -> str:
    return _SECRET.sub("...", in_one_line(error))
