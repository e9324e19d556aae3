"""The choices that signals leave to the user, by name; without torch, so that the command line can list them."""

NOTHING = "none"
"""The value of --signal and of --logits that caches nothing of the kind."""
FROM_HIDDEN = "from-hidden"
"""The value of --logits that keeps no distributions, but the teacher's head for its cached last states (`logits/states.py`)."""
LOGIT_KINDS = ("top-k", "sampled", "hybrid", FROM_HIDDEN)
"""The forms of next-token distributions: lists (`logits/code.py`), or the states and the head that they come from."""
PREDICTED, SEPARATE = "predicted", "separate"
"""How several layers of hidden states are coded: each as what the layer below does not say, or each by itself."""
HIDDEN_CODES = (PREDICTED, SEPARATE)
RELATION_TEMPERATURES = ("published", "calibrated")
"""The temperatures of relations (`relations/calibration.py`)."""
