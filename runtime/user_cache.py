"""Where we keep what only saves time, for this user. A container often has a user without a name and without a home."""

import os
from pathlib import Path


def user_cache() -> Path | None:
    """Return the folder in which we keep things for this user; None if the user does not have a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "miniend"
    except RuntimeError:  # neither HOME nor an entry in /etc/passwd
        return None
