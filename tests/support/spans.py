"""Span corruption undone: what a pair of inputs and targets was made of."""


def restored(example, sentinels):
    """The segment behind an example: the targets' spans put back in the place of the input's sentinels."""
    spans, current = {}, None
    for token in example.labels[:-1].tolist():
        if token in sentinels:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    return [t for token in example.input_ids[:-1].tolist() for t in spans.get(token, [token])]
