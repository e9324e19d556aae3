"""Open a cache, decode its examples, and check that what is stored fits the signals."""

from .cache import Cache, Part, Split, open_cache
from .codecs import read_codecs, read_logit_code, read_mean_probability, read_state_head
from .collate import collate
from .contents import TOKENIZER_FOLDER
from .examples import Decoders, Example, Factors, SparseLogits, StoredExample, decoded_example
from .shards import Shard

__all__ = [
    "TOKENIZER_FOLDER",
    "Cache",
    "Decoders",
    "Example",
    "Factors",
    "Part",
    "Shard",
    "SparseLogits",
    "Split",
    "StoredExample",
    "collate",
    "decoded_example",
    "open_cache",
    "read_codecs",
    "read_logit_code",
    "read_mean_probability",
    "read_state_head",
]
