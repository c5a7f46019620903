"""Which images retrieval is measured with while a run trains: never its queries."""

from dataclasses import dataclass

import numpy as np

from training.data.split import Split

_QUERIES, _DATABASE = 256, 1024  # at most
_FEWEST = 50  # images that are not trained on, to draw queries from


@dataclass(frozen=True, eq=False)
class Watched:
    """Images to measure retrieval with after an epoch.

    Args:
        query: The images searched with, int64 [q], ascending; never queries of the run's split.
        database: The images searched in, int64 [n], ascending: a sample of the split's database.
        trained_on: Whether the queries are trained on, so that the figures are too good.
    """

    query: np.ndarray
    database: np.ndarray
    trained_on: bool


def hold_out(split: Split, share: float, seed: int) -> tuple[Split, Watched]:
    """Draws what is watched.

    With a share, that share of the training images is held out, and its images are the queries.
    Otherwise they are images of the database that are not trained on; where there are fewer than
    50, they are images that are.

    Both samples are small, a quarter and a half of the training images at most: measuring ten times
    encodes fewer images than eight epochs of training, and without gradients.

    Args:
        share: Share of the training images to hold out, 0 for none.

    Returns:
        The split to train with, and what is watched.

    Raises:
        ValueError: when the share is that of less than one image, or leaves none.
    """
    random = np.random.default_rng([seed, 3])
    candidates = np.setdiff1d(split.database, split.train)
    trained_on = False
    if share:
        count = round(share * len(split.train))
        if not 0 < count < len(split.train):
            raise ValueError(
                f"`validation_share` must hold out some of the {len(split.train)} training images, "
                f"and not all. Received: {share:g}"
            )
        candidates = np.sort(random.permutation(split.train)[:count])
        split = Split(split.query, np.setdiff1d(split.train, candidates), split.database)
    elif len(candidates) < _FEWEST:
        candidates, trained_on = split.train, True
    trained = len(split.train)
    # Half of them at most: where they are all of the database, something must be left to find.
    most = min(_QUERIES, -(-trained // 4), -(-len(candidates) // 2))
    query = np.sort(random.permutation(candidates)[:most])
    others = np.setdiff1d(split.database, query)
    database = np.sort(random.permutation(others)[: min(_DATABASE, -(-trained // 2))])
    return split, Watched(query, database, trained_on)
