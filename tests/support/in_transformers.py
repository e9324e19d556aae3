"""What one version of transformers makes of a student's folder; run by the tests, with the Python that has this version.

    python in_transformers.py CHECK OUTPUT FOLDER ...   does one of CHECKS with every folder, and saves what it found with torch
    python in_transformers.py release FOLDER TEXT ...   writes a teacher's tokenizer as version 4 does, from sentencepiece

It imports nothing of MiniEnD: a student must open where MiniEnD is not installed.
"""

import sys
import tempfile
import warnings
from pathlib import Path

import torch
import transformers

TEXTS = [
    "ba de fi <extra_id_0> golu mane",
    "ba  de\tfi\n\ngolu ",
    "<extra_id_1> ba<extra_id_2>de </s> fi <pad>",
    "Größe 今天 👩‍👩‍👧 e\u0301 ﬁ",
    "",
]
LABELS = [9, 8, 7, 6, 1]


def model_of(folder, dtype=torch.float64, **options):
    """The student in this version."""
    return transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, **options).eval().to(dtype)


def batch():
    """Ids that every student of the tests has, with padding, and its mask."""
    ids = torch.tensor([[5, 9, 20, 11, 3, 1], [7, 8, 1, 0, 0, 0]])
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def labels():
    """Two rows of them."""
    return torch.tensor([LABELS, LABELS[::-1]])


@torch.no_grad()
def computed(folder):
    """Logits, encoder states and generated ids, in float64, and the logits after another save and reload."""
    model = model_of(folder)
    encoder_class = getattr(transformers, type(model).__name__.replace("ForConditionalGeneration", "EncoderModel"))
    encoder = encoder_class.from_pretrained(folder).eval().double()
    with tempfile.TemporaryDirectory() as again:
        model.save_pretrained(again)
        reloaded = model_of(again)
    return {
        "logits": model(**batch(), labels=labels()).logits,
        "reloaded": reloaded(**batch(), labels=labels()).logits,
        "encoded": encoder(**batch()).last_hidden_state,
        "greedy": model.generate(**batch(), max_new_tokens=12, do_sample=False),
        "beams": model.generate(**batch(), max_new_tokens=12, num_beams=3, do_sample=False),
    }


def read(folder, **options):
    """The ids of the texts, the texts of the ids, and the ids after another save and reload."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
    ids = tokenizer(TEXTS)["input_ids"]
    with tempfile.TemporaryDirectory() as again:
        tokenizer.save_pretrained(again)
        reloaded = transformers.AutoTokenizer.from_pretrained(again)
        return {
            "ids": ids,
            "decoded": [tokenizer.decode(row, skip_special_tokens=True) for row in ids],
            "reloaded": reloaded(TEXTS)["input_ids"],
            "padded": tokenizer(TEXTS[:3], padding=True, return_tensors="pt")["attention_mask"].sum(1).tolist(),
        }


def read_without_special(folder):
    """The same with the option that the card names."""
    return read(folder, extra_special_tokens={})


def trained(folder):
    """The losses of three steps of Seq2SeqTrainer without dropout, and the logits of what it saved."""
    rows = [{"input_ids": [5, 9, 20, 1], "labels": LABELS}, {"input_ids": [7, 8, 1], "labels": LABELS[:3]}]
    model = model_of(folder, torch.float32, dropout_rate=0.0)
    with tempfile.TemporaryDirectory() as output:
        settings = transformers.Seq2SeqTrainingArguments(
            output_dir=output, max_steps=3, per_device_train_batch_size=2, learning_rate=1e-3, logging_steps=1, use_cpu=True,
            report_to=[], save_strategy="no", disable_tqdm=True, seed=0,
        )  # fmt: skip
        trainer = transformers.Seq2SeqTrainer(
            model=model, args=settings, train_dataset=rows, data_collator=lambda chosen: padded(rows)
        )
        trainer.train()
        trainer.save_model(output)
        model.eval()
        with torch.no_grad():
            after = model(**batch(), labels=labels()).logits
            saved = model_of(output, torch.float32)(**batch(), labels=labels()).logits
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return {"losses": losses, "logits": after, "saved": saved}


def padded(rows):
    """One batch of rows of unequal lengths."""
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row["input_ids"]) for row in rows], batch_first=True)
    targets = [torch.tensor(row["labels"]) for row in rows]
    filled = torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=-100)
    return {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": filled}


@torch.no_grad()
def quantized(folder):
    """Logits before and after dynamic quantization to eight bits, and what the quantized model generates."""
    model = model_of(folder, torch.float32)
    before = model(**batch(), labels=labels()).logits
    small = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    kinds = {type(module).__module__ for module in small.modules()}
    assert any("quantized" in kind for kind in kinds), "no layer was quantized"
    return {
        "before": before,
        "after": small(**batch(), labels=labels()).logits,
        "generated": small.generate(**batch(), max_new_tokens=12, do_sample=False),
    }


class Logits(torch.nn.Module):
    """The logits as a function of three tensors."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, decoder_input_ids):
        return self.model(
            input_ids=input_ids, attention_mask=attention_mask, decoder_input_ids=decoder_input_ids, use_cache=False
        ).logits


@torch.no_grad()
def exported(folder):
    """The logits of torch and of the exported ONNX graph, for lengths and batch other than those of the export."""
    import onnxruntime

    model = Logits(model_of(folder, torch.float32)).eval()
    shown = (*batch().values(), labels())
    names = ["input_ids", "attention_mask", "decoder_input_ids"]
    with tempfile.TemporaryDirectory() as output:
        path = str(Path(output, "student.onnx"))
        rows, read_, written = (torch.export.Dim(name) for name in ("rows", "read", "written"))
        torch.onnx.export(
            model, shown, path, dynamo=True, input_names=names, output_names=["logits"], verbose=False,
            dynamic_shapes=({0: rows, 1: read_}, {0: rows, 1: read_}, {0: rows, 1: written}),
        )  # fmt: skip
        session = onnxruntime.InferenceSession(path)
        ids = torch.arange(3, 3 + 27).reshape(3, 9)
        asked = (ids, (torch.arange(9) < torch.tensor([[9], [4], [6]])).long(), ids[:, :7])
        found = session.run(None, {name: tensor.numpy() for name, tensor in zip(names, asked, strict=True)})[0]
        return {"torch": model(*asked), "onnx": torch.from_numpy(found)}


CHECKS = {check.__name__: check for check in (computed, read, read_without_special, trained, quantized, exported)}


def write_release(folder, texts):
    """A T5 tokenizer as the releases have it: spiece.model, tokenizer.json, and special tokens in the form of version 4."""
    import sentencepiece
    from tokenizers import decoders, pre_tokenizers

    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(folder / "spiece"), vocab_size=60, pad_id=0, eos_id=1, unk_id=2, bos_id=-1
    )  # fmt: skip
    (folder / "spiece.vocab").unlink()
    tokenizer = transformers.T5TokenizerFast(str(folder / "spiece.model"), extra_ids=10)
    words = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(words)  # as in T5's own tokenizer.json
    tokenizer.backend_tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.save_pretrained(folder)


def main(command, target, *rest):
    """Do what the command says; an error of one folder is its result."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if command == "release":
        write_release(Path(target), list(rest))
        return
    found = {}
    for folder in rest:
        try:
            found[folder] = CHECKS[command](Path(folder))
        except Exception as error:
            found[folder] = f"{type(error).__name__}: {error}"
    torch.save(found, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
