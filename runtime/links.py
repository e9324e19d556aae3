"""Links in an output directory: what is written through one lands outside of the directory."""

from pathlib import Path

from ..errors import RunMismatchError
from .listing import everything_below


def require_no_links(output: Path) -> None:
    """Raise RunMismatchError if a file or folder inside an output directory is a link. The directory itself may be one.

    Somebody else may have made the directory, with a link to a file of yours where a run appends its log.
    """
    for path in everything_below(output):
        if path.is_symlink():
            raise RunMismatchError(
                f"{path} is a link to {path.readlink()}, expected a file or folder of a run; put the content itself there, "
                "or use another --output"
            )
