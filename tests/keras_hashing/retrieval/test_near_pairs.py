"""The join by parts, against comparing all with all."""

from itertools import pairwise

import numpy as np
import pytest

from keras_hashing.retrieval import hamming_distance
from keras_hashing.retrieval.near_pairs import near_pairs, pairs_to_compare


def clustered(bits: int, count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = random.integers(0, 256, (count // 12, bits // 8), dtype=np.uint8)
    noise = random.random((count, bits)) < 0.6 / bits
    return centres[random.integers(0, len(centres), count)] ^ np.packbits(noise, axis=1)


@pytest.mark.parametrize("bits", [8, 24, 64, 256])
@pytest.mark.parametrize("radius", [0, 1, 2, 5])
def test_each_pair_within_the_radius_is_found_once(
    bits: int, radius: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras_hashing.retrieval.near_pairs._ROWS", 100)  # several blocks
    codes = clustered(bits, 600, seed=radius)
    distances = hamming_distance(codes, codes)
    first, second = np.nonzero(np.triu(distances <= radius, k=1))
    expected = dict(zip(zip(first, second, strict=True), distances[first, second], strict=True))
    found = [
        ((one, other), distance)
        for part in range(radius + 1)
        for block in near_pairs(codes, radius, part)
        for one, other, distance in zip(*block, strict=True)
    ]
    assert len(found) == len(expected) > 0
    assert dict(found) == expected


@pytest.mark.parametrize(("bits", "radius"), [(24, 0), (24, 4), (64, 2), (256, 1)])
def test_the_pairs_to_compare_are_those_that_agree_in_a_part(bits: int, radius: int) -> None:
    codes = np.unpackbits(clustered(bits, 300, seed=1), axis=1)
    edges = np.linspace(0, bits, radius + 2).astype(int)
    agreeing = 0
    for start, end in pairwise(edges):
        part = codes[:, start : min(end, start + 64)]
        agreeing += np.triu((part[:, None] == part).all(axis=2), k=1).sum()
    assert pairs_to_compare(np.packbits(codes, axis=1), radius) == agreeing > 0


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_codes_have_no_pair(count: int) -> None:
    assert list(near_pairs(np.zeros((count, 4), np.uint8), 2, 0)) == []


@pytest.mark.parametrize(("radius", "part"), [(-1, 0), (8, 0), (2, 3), (2, -1)])
def test_arguments_are_checked(radius: int, part: int) -> None:
    with pytest.raises(ValueError, match="`radius` must|`part` must be 0 to"):
        list(near_pairs(np.zeros((3, 1), np.uint8), radius, part))
