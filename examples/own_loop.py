"""A training loop of your own, in plain PyTorch: MiniEnD gives the batches with the teacher's signals, the rest is here.

python examples/own_loop.py CACHE OUTPUT [EPOCHS]
"""

import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader

import miniend
from miniend.models.save import save_student
from miniend.models.start import start_student
from miniend.student_train.run.setup import start_request


def soft_cross_entropy(student_logits, batch):
    """Minus the sum of p log q over the vocabulary, in nats per token; draws stand for what is not in the head."""
    log_q = student_logits[batch["labels"] != -100].log_softmax(-1)
    teacher = batch["logits"]
    head = teacher["head_log_probabilities"].exp() * log_q[teacher["head_position"], teacher["head_ids"]]
    rest = teacher["draw_weights"] * log_q[teacher["draw_position"], teacher["draw_ids"]]
    return -(head.sum() + rest.sum()) / len(log_q)


def loss_of(student, batch):
    """The loss of one batch."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    return soft_cross_entropy(student(**inputs).logits, batch)


def main(cache, output, epochs="3"):
    """Train a student on the teacher's distributions, and write it as a folder for `from_pretrained`."""
    torch.manual_seed(0)
    training = miniend.Dataset(cache, logits=True)
    validation = miniend.Dataset(training.cache.validation, logits=True)
    student = start_student(None, start_request(training.cache, "2L64H", seed=0)).train()
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3)
    for epoch in range(int(epochs)):
        training.epoch = epoch  # another order
        for batch in DataLoader(training, batch_size=8, collate_fn=training.collate):
            loss_of(student, batch).backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            losses = [
                loss_of(student, one) for one in DataLoader(validation, batch_size=8, collate_fn=validation.collate)
            ]
        print(f"epoch {epoch}: validation {sum(losses) / len(losses):.3f} nats")
    Path(output).mkdir(parents=True, exist_ok=True)
    save_student(student, Path(output), training.cache.tokenizer_files(), "# A student of my own loop\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
