"""How sure a mean is, and a difference of two means: SciPy's bootstrap and permutation test.

Both are seeded, so the same figures come out again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["confidence_interval", "paired_p_value"]

_RESAMPLES = 9999
_SEED = 20180
# Values drawn at a time: bounds memory at some tens of megabytes.
_BATCH_VALUES = 2_000_000


def confidence_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % percentile bootstrap interval of the mean (Efron and Tibshirani 1993); ``None`` below two values."""
    if len(values) < 2:
        return None
    from scipy.stats import bootstrap

    result = bootstrap(
        (np.asarray(values, dtype=np.float64),),
        np.mean,
        method="percentile",
        n_resamples=_RESAMPLES,
        batch=max(1, _BATCH_VALUES // len(values)),
        rng=np.random.default_rng(_SEED),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def paired_p_value(old: Sequence[float], new: Sequence[float]) -> float:
    """Two-sided paired randomisation test of the difference of two means, (0, 1], lower is surer.

    Which run a question's score came from is swapped at random (Smucker et al. 2007, "A Comparison of Statistical
    Significance Tests for Information Retrieval Evaluation"); exact where there are few differences.
    """
    pairs = np.asarray([(first, second) for first, second in zip(old, new, strict=True) if first != second])
    # Swapping equal scores changes nothing, so they are left out; one difference is as great either way round.
    if len(pairs) < 2:
        return 1.0
    from scipy.stats import permutation_test

    result = permutation_test(
        (pairs[:, 0], pairs[:, 1]),
        lambda first, second, axis: np.mean(second - first, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=max(1, _BATCH_VALUES // len(pairs)),
        rng=np.random.default_rng(_SEED),
    )
    return float(result.pvalue)
