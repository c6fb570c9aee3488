"""Exact match and F1 of an answer, as CMRC 2018's official script computes them.

Source: ymcui/cmrc2018, ``baseline/cmrc2018_evaluate.py`` (Cui et al. 2019, "A Span-Extraction Dataset for Chinese
Machine Reading Comprehension"). Its F1 is the longest common *substring* over Han characters and Latin words, not a
bag of characters. It knows nothing of abstaining.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

__all__ = ["exact_match", "f1_score"]

# The official list, character by character: its "……" is two characters and so never matches one.
_PUNCTUATION = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1.0 if the prediction equals an answer in lower case and without punctuation, else 0.0."""
    said = _without_punctuation(prediction)
    return float(any(_without_punctuation(answer) == said for answer in answers))


def f1_score(prediction: str, answers: Sequence[str]) -> float:
    """F1 of the longest common substring of segments with the answer it fits best, [0, 1], higher is better."""
    said = _segments(prediction)
    return max((_overlap(_segments(answer), said) for answer in answers), default=0.0)


def _without_punctuation(text: str) -> str:
    return "".join(character for character in text.lower().strip() if character not in _PUNCTUATION)


def _segments(text: str) -> list[str]:
    """Han characters one by one, and what stands between them as NLTK cuts it; without punctuation."""
    segments: list[str] = []
    other = ""
    for character in _without_punctuation(text):
        if "\u4e00" <= character <= "\u9fa5":  # the official script's range
            if other:
                segments += _word_tokenizer()(other)
                other = ""
            segments.append(character)
        else:
            other += character
    return segments + _word_tokenizer()(other) if other else segments


@cache
def _word_tokenizer() -> Callable[[str], list[str]]:
    """What ``nltk.word_tokenize`` cuts words with; the function itself wants data to be downloaded."""
    from nltk.tokenize.destructive import NLTKWordTokenizer

    tokenize: Callable[[str], list[str]] = NLTKWordTokenizer().tokenize
    return tokenize


def _overlap(answer: Sequence[str], prediction: Sequence[str]) -> float:
    common = _longest_common_run(answer, prediction)
    if not common:
        return 0.0
    precision, recall = common / len(prediction), common / len(answer)
    return 2 * precision * recall / (precision + recall)


def _longest_common_run(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest run of segments that both hold."""
    longest = 0
    # lengths[j]: length of the common run that ends at this segment of `first` and at second[j - 1]
    lengths = [0] * (len(second) + 1)
    for segment in first:
        previous = lengths
        lengths = [0] * (len(second) + 1)
        for place, other in enumerate(second, start=1):
            if segment == other:
                lengths[place] = previous[place - 1] + 1
                longest = max(longest, lengths[place])
    return longest
