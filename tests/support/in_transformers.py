"""What one version of transformers makes of a folder; run by the tests, and by the Python that has version 4.

    python transformers_4.py open OUTPUT FOLDER ...      opens every folder, and saves what it found with torch
    python transformers_4.py tokenizer FOLDER TEXT ...   writes a teacher's tokenizer, as version 4 does, from sentencepiece

It imports nothing of MiniEnD: a student must open where MiniEnD is not installed.
"""

import sys
import tempfile
from pathlib import Path

import torch

TEXT = "ba de fi <extra_id_0> golu mane"


def opened(folder: Path, **options) -> dict:
    """Ids, logits, encoder states and generated ids of a student in float64, and its logits after another save and reload."""
    import transformers

    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval().double()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
    ids = torch.tensor([[*tokenizer(TEXT)["input_ids"], 9, 8, 7, 1]])
    encoder_class = getattr(transformers, type(model).__name__.replace("ForConditionalGeneration", "EncoderModel"))
    encoder = encoder_class.from_pretrained(folder).eval().double()
    with torch.no_grad(), tempfile.TemporaryDirectory() as again:
        model.save_pretrained(again)
        reloaded = transformers.AutoModelForSeq2SeqLM.from_pretrained(again).eval().double()
        return {
            "ids": ids,
            "decoded": tokenizer.decode(ids[0], skip_special_tokens=True),
            "logits": model(input_ids=ids, labels=ids).logits,
            "reloaded": reloaded(input_ids=ids, labels=ids).logits,
            "generated": model.generate(input_ids=ids, max_new_tokens=12, do_sample=False),
            "encoded": encoder(input_ids=ids).last_hidden_state,
        }


def write_tokenizer(folder: Path, texts: list[str]) -> None:
    """A T5 tokenizer as the releases have it: spiece.model, tokenizer.json, and special tokens in the form of version 4."""
    import sentencepiece
    from tokenizers import decoders, pre_tokenizers
    from transformers import T5TokenizerFast

    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(folder / "spiece"), vocab_size=60, pad_id=0, eos_id=1, unk_id=2, bos_id=-1
    )  # fmt: skip
    (folder / "spiece.vocab").unlink()
    tokenizer = T5TokenizerFast(str(folder / "spiece.model"), extra_ids=10)
    words = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(words)  # as in T5's own tokenizer.json
    tokenizer.backend_tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.save_pretrained(folder)


def main(command: str, target: str, *rest: str) -> None:
    """Do what the command says; an error of one folder is its result."""
    if command == "tokenizer":
        write_tokenizer(Path(target), list(rest))
        return
    found: dict = {}
    for folder in rest:
        for name, options in (("as it is", {}), ("without special tokens", {"extra_special_tokens": {}})):
            try:
                found[folder, name] = opened(Path(folder), **options)
            except Exception as error:
                found[folder, name] = repr(error)
    torch.save(found, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
