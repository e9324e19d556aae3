"""Convert a SentencePiece model to a pipeline of the `tokenizers` library that gives the same ids.

What we take from the model, with its meaning in sentencepiece's own source (normalizer.cc, unigram_model.cc, bpe_model.cc):

- The character map comes first. If `remove_extra_whitespaces`, spaces at both ends go, and several become one.
- If `add_dummy_prefix`, a space is put before the text. Spaces are written as "▁".
- Unigram: a symbol that the user defined scores (bytes x best score - 0.1), so that it always wins.
- BPE: of two merges, the one whose result has the better score comes first, whatever its parts.

T5's sentinels are not in its SentencePiece model. T5Tokenizer puts `extra_ids` of them behind it, the last one first.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, in_one_line

_UNIGRAM, _BPE = 1, 2
_UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 2, 3, 4, 6
_SPACE = "▁"


def pipeline_of_model(path: Path, tokenizer_config: Mapping[str, Any], added: Mapping[str, int]) -> dict[str, Any]:
    """Return the content of a tokenizer.json for a SentencePiece model.

    `added` has the ids of tokens behind the model's own, from added_tokens.json. Raises CheckpointError for a file that is not
    a SentencePiece model, or one of a kind that the `tokenizers` library cannot run.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers

    proto = _read(path)
    extra = _extra_tokens(proto, tokenizer_config, added, path)
    tokenizer = Tokenizer(_unigram(proto, extra) if proto.trainer_spec.model_type == _UNIGRAM else _bpe(proto, extra))
    if steps := _normalizers(proto.normalizer_spec):
        tokenizer.normalizer = steps
    spans_words = any(_SPACE in piece.piece[1:] for piece in proto.pieces if piece.type != _CONTROL)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(_SPACE, prepend_scheme="never", split=not spans_words)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        + [decoders.Strip(" ", 1, 0)] * proto.normalizer_spec.add_dummy_prefix
    )
    special = [piece.piece for piece in proto.pieces if piece.type in (_CONTROL, _UNKNOWN)] + extra
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in special])
    if proto.trainer_spec.model_type == _BPE:
        symbols = [piece.piece for piece in proto.pieces if piece.type == _USER_DEFINED]
        tokenizer.add_tokens([AddedToken(text, normalized=False) for text in symbols])
    return dict(json.loads(tokenizer.to_str()))


def _read(path: Path) -> Any:
    """Return the model's protocol buffer."""
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise CheckpointError(
            f"{path} is not a SentencePiece model ({in_one_line(error)}); restore the file"
        ) from error
    if not proto.pieces:
        raise CheckpointError(f"{path} is a SentencePiece model without pieces; restore the file")
    if proto.trainer_spec.model_type not in (_UNIGRAM, _BPE) or proto.trainer_spec.treat_whitespace_as_suffix:
        raise CheckpointError(
            f"{path} is a SentencePiece model of words, of characters, or with spaces at the ends of words; expected Unigram "
            "or BPE with spaces at the beginnings, as T5's are. Put a tokenizer.json beside it"
        )
    return proto


def _extra_tokens(proto: Any, tokenizer_config: Mapping[str, Any], added: Mapping[str, int], path: Path) -> list[str]:
    """Return the tokens behind the model's pieces, in the order of their ids."""
    size = len(proto.pieces)
    decoder = tokenizer_config.get("added_tokens_decoder") or {}
    stated = {int(i): token["content"] for i, token in decoder.items()} | {i: text for text, i in added.items()}
    behind = {i: text for i, text in stated.items() if i >= size}
    if behind:
        if sorted(behind) != list(range(size, size + len(behind))):
            raise CheckpointError(
                f"{path} has {size} pieces, and the added tokens beside it have the ids {min(behind)} to {max(behind)} with "
                "gaps; put a tokenizer.json beside it"
            )
        return [behind[i] for i in sorted(behind)]
    has_sentinels = any(piece.piece.removeprefix(_SPACE) == "<extra_id_0>" for piece in proto.pieces)
    count = tokenizer_config.get("extra_ids", 0 if has_sentinels else 100)
    return [f"<extra_id_{k}>" for k in reversed(range(count))]


def _unigram(proto: Any, extra: list[str]) -> Any:
    from tokenizers import models

    best = max((piece.score for piece in proto.pieces if piece.type not in (_UNKNOWN, _CONTROL, _BYTE)), default=0.0)
    scores = [
        len(piece.piece.encode()) * best - 0.1 if piece.type == _USER_DEFINED else piece.score for piece in proto.pieces
    ]
    vocabulary = [(piece.piece, score) for piece, score in zip(proto.pieces, scores, strict=True)]
    vocabulary += [(text, 0.0) for text in extra]
    return models.Unigram(vocabulary, unk_id=_unknown(proto), byte_fallback=proto.trainer_spec.byte_fallback)


def _bpe(proto: Any, extra: list[str]) -> Any:
    from tokenizers import models

    vocabulary = {text: i for i, text in enumerate([*(piece.piece for piece in proto.pieces), *extra])}
    mergeable = {piece.piece: piece.score for piece in proto.pieces if piece.type not in (_UNKNOWN, _CONTROL, _BYTE)}
    merges = [
        (piece[:cut], piece[cut:])
        for piece in sorted(mergeable, key=lambda piece: -mergeable[piece])
        for cut in range(1, len(piece))
        if piece[:cut] in mergeable and piece[cut:] in mergeable
    ]
    unknown = proto.pieces[_unknown(proto)].piece
    fallback = proto.trainer_spec.byte_fallback
    return models.BPE(vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=fallback)


def _unknown(proto: Any) -> int:
    return next(i for i, piece in enumerate(proto.pieces) if piece.type == _UNKNOWN)


def _normalizers(spec: Any) -> Any:
    from tokenizers import Regex, normalizers

    steps: list[Any] = [normalizers.Precompiled(spec.precompiled_charsmap)] if spec.precompiled_charsmap else []
    if spec.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if spec.add_dummy_prefix:
        steps.append(normalizers.Prepend(" "))
    return normalizers.Sequence(steps) if steps else None
