"""Open a cache, decode its examples, and check that what is stored fits the signals."""

from .cache import Cache, Part, Split, open_cache
from .codecs import read_codecs, read_logit_code, read_mean_probability
from .contents import TOKENIZER_FOLDER
from .examples import Example, Factors, SparseLogits
from .shards import Shard

__all__ = [
    "TOKENIZER_FOLDER",
    "Cache",
    "Example",
    "Factors",
    "Part",
    "Shard",
    "SparseLogits",
    "Split",
    "open_cache",
    "read_codecs",
    "read_logit_code",
    "read_mean_probability",
]
