"""Measure the peak memory of a dump of a large text encoder in bfloat16, over the bytes of its weights.

    python benchmarks/encoder_memory.py --tokenizer DIR --corpus FILES --work DIR [--layers 24] [--width 2048] [--examples 16]
        [--input-length 32]

The encoder has random weights, in the shape of a T5 v1.1, and is saved as bfloat16 in files of 500 MB. The dump runs in a process
of its own, with `--dtype bfloat16`. Printed are the bytes of the weights in bfloat16 and in float32, and the peak resident memory
of the process, of which files that are mapped are a part.
"""

import argparse
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import torch
import transformers

DUMP = """
import resource, sys, threading, time
from miniend.teacher_dump.config import DumpConfig
from miniend.teacher_dump.dump import dump_teacher

own = [0]

def watch():
    while True:
        lines = open("/proc/self/status").read().splitlines()
        own[0] = max(own[0], *(int(one.split()[1]) for one in lines if one.startswith("RssAnon:")))
        time.sleep(0.02)

threading.Thread(target=watch, daemon=True).start()
teacher, corpus, cache, examples, length = sys.argv[1:]
dump_teacher(DumpConfig(teacher=teacher, corpus=corpus, cache=cache, examples=int(examples), input_length=int(length),
                        encoder_only=True, dtype="bfloat16", validation_examples=2, calibration_examples=int(examples),
                        batch_size=4, device="cpu"), log=lambda _line: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, own[0])
"""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--examples", type=int, default=16)
    parser.add_argument("--input-length", type=int, default=32)
    return parser.parse_args()


def build(folder: Path, asked: argparse.Namespace) -> int:
    """Save an encoder with the tokenizer, and return the number of its parameters."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(asked.tokenizer)
    config = transformers.T5Config(
        vocab_size=-(-len(tokenizer) // 128) * 128,
        d_model=asked.width,
        d_kv=64,
        num_heads=asked.width // 64,
        d_ff=asked.width * 5 // 2,
        num_layers=asked.layers,
        feed_forward_proj="gated-gelu",
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    model = transformers.T5EncoderModel(config)
    torch.set_default_dtype(before)
    model.save_pretrained(folder, max_shard_size="500MB")
    for file in asked.tokenizer.iterdir():
        if file.name.startswith(("tokenizer", "spiece", "special")):
            shutil.copy(file, folder)
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> None:
    """Build, dump and print."""
    asked = parse()
    teacher, cache = asked.work / "teacher", asked.work / "cache"
    parameters = build(teacher, asked)
    shutil.rmtree(cache, ignore_errors=True)
    given = [str(teacher), asked.corpus, str(cache), str(asked.examples), str(asked.input_length)]
    run = subprocess.run([sys.executable, "-c", DUMP, *given], check=True, capture_output=True, text=True)
    peak, own = (int(one) * 1024 for one in run.stdout.split()[-2:])
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{parameters:,} parameters: {2e-9 * parameters:.2f} GB in bfloat16, {4e-9 * parameters:.2f} GB in float32")
    print(f"peak of the dump {peak / 1e9:.2f} GB, {peak / (2 * parameters):.2f} times the weights in bfloat16")
    print(f"without mapped files {own / 1e9:.2f} GB, {own / (2 * parameters):.2f} times")


if __name__ == "__main__":
    main()
