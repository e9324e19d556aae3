"""ByT5's tokenizer as a pipeline of the `tokenizers` library: the id of a byte is its value plus 3.

transformers' ByT5Tokenizer runs in Python only. The same ids come from a byte-level BPE without merges.

ByT5's span corruption counts its sentinels down from the last id, 258 (the byte 0xFF), as the documentation of transformers
says. The ids 259 and up, which ByT5Tokenizer calls <extra_id_0> and so on, were never trained. So we give the name
<extra_id_k> to id 258 - k, for the 11 bytes 0xF5 to 0xFF, which do not occur in UTF-8.
"""

from typing import Any

_SPECIAL = ("<pad>", "</s>", "<unk>")
_SENTINELS = range(0xFF, 0xF4, -1)
"""The bytes that ByT5 uses as sentinels, in the order of their use."""


def byte_pipeline() -> dict[str, Any]:
    """Return the content of a tokenizer.json for ByT5."""
    special = {name: place for place, name in enumerate(_SPECIAL)}
    sentinels = {f"<extra_id_{k}>": byte + len(_SPECIAL) for k, byte in enumerate(_SENTINELS)}
    letters = {_letter(byte): byte + len(_SPECIAL) for byte in range(256) if byte not in _SENTINELS}
    reserved = special | sentinels
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": name, **flags} for name, i in sorted(reserved.items(), key=lambda x: x[1])
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": reserved | letters, "merges": [], "unk_token": None},
    }


def _letter(byte: int) -> str:
    """Return the character that stands for a byte in byte-level vocabularies (GPT-2's table)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    if byte in printable:
        return chr(byte)
    return chr(0x100 + [other for other in range(256) if other not in printable].index(byte))
