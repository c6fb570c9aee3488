"""What training and inference of the neural reader share: characters, match features, windows, spans.

It knows nothing of how networks are trained, of retrieval, and of what is made of the spans.
"""

from szqa.neural.encoding import (
    INPUT_VERSION,
    MARK_CLASS,
    MAX_QUESTION_CHARS,
    TYPE_COUNT,
    Pair,
    encode_pair,
    find_question_word,
    match_lengths,
    type_factors,
    word_classes,
)
from szqa.neural.scoring import (
    CharScores,
    RawSpan,
    Scorer,
    Window,
    assemble,
    best_spans,
    onnx_scorer,
    score_pairs,
    score_places,
    stack,
    windows,
)
from szqa.neural.vocabulary import Vocabulary

__all__ = [
    "INPUT_VERSION",
    "MARK_CLASS",
    "MAX_QUESTION_CHARS",
    "TYPE_COUNT",
    "CharScores",
    "Pair",
    "RawSpan",
    "Scorer",
    "Vocabulary",
    "Window",
    "assemble",
    "best_spans",
    "encode_pair",
    "find_question_word",
    "match_lengths",
    "onnx_scorer",
    "score_pairs",
    "score_places",
    "stack",
    "type_factors",
    "windows",
    "word_classes",
]
