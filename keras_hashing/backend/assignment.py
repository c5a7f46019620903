"""The assignment solver that both backends call on the host."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def solve_assignment(cost: np.ndarray) -> np.ndarray:
    """Column given to each row by the assignment of least total cost.

    Args:
        cost: float array of shape (n, n).

    Returns:
        int32 array of shape (n,). Where a cost is not finite there is no best assignment; the
        identity is returned, so that the non-finite cost reaches the loss.
    """
    cost = np.asarray(cost)
    if not np.isfinite(cost).all():
        return np.arange(cost.shape[0], dtype=np.int32)
    return linear_sum_assignment(cost)[1].astype(np.int32)
