"""Work on blocks of queries, spread over threads."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

THREADS = os.cpu_count() or 1
QUERIES = 32  # in a block: enough to repay its scratch memory, few enough to share out evenly


def for_query_blocks(work: Callable[[slice], None], queries: int) -> None:
    """Calls `work(rows)` for each block of at most `QUERIES` rows, on up to `THREADS` threads.

    NumPy's ufuncs and sorts release the GIL, so the threads run side by side. Blocks must not
    write to the same memory; then the result depends on neither constant.
    """
    blocks = [slice(start, start + QUERIES) for start in range(0, queries, QUERIES)]
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        list(pool.map(work, blocks))  # the list passes on the first exception
