"""The loss terms: one file and one line here for each."""

from ..objective import Objective
from . import labels, logits, relations
from .term import TERMS, SitePair, Term, TermContext, Terms

__all__ = ["TERMS", "SitePair", "Term", "TermContext", "Terms", "labels", "logits", "relations", "trains_head"]


def trains_head(objective: Objective) -> bool:
    """Return whether an objective trains the student's head. Only then can the student generate, and teach its logits."""
    return any(TERMS[one.kind].trains_head for one in objective.terms)
