"""Links in an output directory: what is written through one lands outside of the directory."""

import os
from pathlib import Path

from ..errors import RunMismatchError


def require_no_links(output: Path) -> None:
    """Raise RunMismatchError if a file or folder inside an output directory is a link. The directory itself may be one.

    Somebody else may have made the directory, with a link to a file of yours where a run appends its log.
    """
    for folder, folders, files in os.walk(output):
        for name in sorted((*folders, *files)):
            if (path := Path(folder, name)).is_symlink():
                raise RunMismatchError(
                    f"{path} is a link to {os.readlink(path)}, expected a file or folder of a run; put the content itself there, "
                    "or use another --output"
                )
