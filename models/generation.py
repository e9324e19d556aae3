"""Models that generate without transformers' cache of keys and values, because it would be too short for their decoder.

`generate` of transformers 4 and 5 makes a cache with a layer for each layer of the encoder. A decoder of more layers,
such as that of a student of size 3E6D384H, ends in an IndexError. Without the cache it computes the same, more slowly.
"""

from typing import Any

from .families import family_of


def outgrows_the_cache(model: Any) -> bool:
    """Return whether the decoder has more layers than transformers' cache of keys and values."""
    family = family_of(model)
    encoder, decoder = (family.depth(model.config, stack.name) for stack in family.stacks)
    return decoder > encoder


def allow_generation(model: Any) -> None:
    """Switch the cache off in the model's generation settings if the decoder outgrows it."""
    if model.can_generate() and outgrows_the_cache(model):
        model.generation_config.use_cache = False
