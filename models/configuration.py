"""Make transformers' configuration of members that may come from a stranger: a config.json, or the plan of a cache."""

from collections.abc import Mapping
from typing import Any

import transformers

from ..errors import CheckpointError, in_one_line
from .families import family_named, model_type_of


def configuration_of(members: Mapping[str, Any], of: str) -> Any:
    """Return transformers' configuration of the members of a config.json.

    Raises CheckpointError, in one line that starts with `of`, for members that transformers refuses, such as a number that is
    null.
    """
    architecture = getattr(transformers, family_named(model_type_of(members)).architecture)
    try:
        return architecture.config_class.from_dict(dict(members))
    except Exception as error:  # of several libraries
        raise CheckpointError(f"{of}: transformers refuses it: {in_one_line(error)}; correct that member") from error
