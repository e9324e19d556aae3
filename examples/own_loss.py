"""A loss of your own: a student whose tokens resemble each other as the teacher's do.

    python examples/own_loss.py CACHE OUTPUT [STEPS]

The same file is a plugin of the command line:

    miniend train-student --plugin examples/own_loss.py --cache CACHE --output OUTPUT --objective resemblance
"""

import sys

import torch

import miniend

SITE = "encoder.self"


@miniend.TERMS.register("resemblance")
class Resemblance(miniend.Term):
    """The squared difference of the cosines between all tokens of a text, of the student's and the teacher's values."""

    def __init__(self, pair):
        super().__init__()
        self.pairs = (pair,)

    @classmethod
    def build(cls, context, options):
        stored = [codec.site for codec in context.cache.codecs.values() if codec.site.name == SITE]
        if not stored:
            raise miniend.errors.CacheMismatchError(f"the cache does not hold {SITE}; dump it with --signals {SITE}")
        last = context.family.depth(context.student.config, "encoder") - 1
        return cls(miniend.SitePair(teacher=stored[-1], student=miniend.Site(SITE, last)))

    def counts(self, batch):
        return {"": int(batch.valid["input"].sum())}

    def sums(self, taps, teacher, batch):
        (pair,), valid = self.pairs, batch.valid["input"]
        ours, theirs = taps[str(pair.student)]["value"], teacher.sites[str(pair.teacher)]["value"]
        difference = (cosines(ours.float()) - cosines(theirs)).square() * valid[:, None, :]
        per_token = difference.sum(-1) / valid.sum(-1, keepdim=True)  # mean over the other tokens of the text
        return {"": per_token[valid].sum()}

    def formula(self):
        return "squared difference of the cosines between a text's tokens, mean over pairs of tokens"


def cosines(values):
    """The cosine of each token with each other one, [batch, length, length]."""
    unit = torch.nn.functional.normalize(values, dim=-1)
    return unit @ unit.transpose(1, 2)


miniend.OBJECTIVES.add("resemblance", (miniend.spec("logits"), miniend.spec("resemblance")))


def main(cache, output, steps="300"):
    """Train a student with this loss and print how it went."""
    student = miniend.train_student(
        cache=cache,
        output=output,
        objective="resemblance",
        size="2L64H",
        steps=int(steps),
        batch_size=8,
    )
    print(student)


if __name__ == "__main__":
    main(*sys.argv[1:])
