"""Turn a student of a text encoder into a folder of sentence-transformers: the mean of its states, mapped to the teacher's width.

    pip install sentence-transformers
    python examples/sentence_encoder.py STUDENT OUTPUT

STUDENT is what `train-student --objective encoder` wrote. `SentenceTransformer(OUTPUT)` gives for each text the mean over tokens
of W s + b, which is the mean of the states that `miniend.ProjectedT5Encoder` returns. A teacher with layers of its own after the
mean needs these too: append them to `modules`.
"""

import sys
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import AutoTokenizer

import miniend

TEXTS = ["a red fox in the snow", "the old stone house", "rain"]


def main(student: Path, output: Path) -> None:
    """Write the folder, and compare what it gives with the student."""
    encoder = miniend.ProjectedT5Encoder.from_student(student)
    mapped = encoder.projection
    dense = Dense(mapped.in_features, mapped.out_features, activation_function=torch.nn.Identity())
    dense.linear.load_state_dict(mapped.state_dict())
    modules = [Transformer(str(student)), Pooling(mapped.in_features, pooling_mode="mean"), dense]
    SentenceTransformer(modules=modules, device="cpu").save(str(output))

    ours = torch.from_numpy(SentenceTransformer(str(output), device="cpu").encode(TEXTS))
    tokenizer, means = AutoTokenizer.from_pretrained(student), []
    for text in TEXTS:
        with torch.no_grad():
            means.append(encoder(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0))
    apart = float((ours - torch.stack(means)).abs().max())
    print(
        f"wrote {output}: texts as {ours.shape[1]} numbers, at most {apart:.1e} from the mean of the student's states"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
