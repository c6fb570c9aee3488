"""How well each candidate answer fits a question: the columns the span ranker reads.

The text around a candidate is compared with the question around its question word, in the sentence, in the clause and
in the item of an enumeration; beside that stand the kind of answer, the unit, and whatever the question demands that
the sentence lacks or contradicts. Knows nothing of models, indexes or passages' places in documents.
"""

from szqa.alignment.columns import COLUMNS, RELATIVE_COLUMNS, describe
from szqa.alignment.sheet import Context
from szqa.alignment.terms import Forms, Term, Wanted, coverage, extract_terms, pieces, positions

__all__ = [
    "COLUMNS",
    "RELATIVE_COLUMNS",
    "Context",
    "Forms",
    "Term",
    "Wanted",
    "coverage",
    "describe",
    "extract_terms",
    "pieces",
    "positions",
]
