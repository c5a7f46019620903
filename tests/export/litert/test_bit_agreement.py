import numpy as np
import pytest

from export.litert.verification.bit_agreement import BitAgreement


def test_figures_are_those_of_a_count_by_hand() -> None:
    rng = np.random.default_rng(0)
    continuous = rng.normal(size=(20, 16)).astype(np.float32)
    flipped = rng.random((20, 16)) < 0.2
    flipped[0] = False
    codes = np.packbits((continuous > 0) ^ flipped, axis=1)
    found = BitAgreement.measure(codes, continuous, margin=0.5)

    mean = sum(abs(float(u)) for u in continuous.flat) / continuous.size
    beyond = [
        not flipped[row, bit]
        for row in range(20)
        for bit in range(16)
        if abs(float(continuous[row, bit])) > 0.5 * mean
    ]
    by_bit = [sum(not flip for flip in flipped[:, bit]) / 20 for bit in range(16)]
    assert found.overall == pytest.approx(sum(by_bit) / 16)
    assert found.by_bit == pytest.approx(by_bit)
    assert by_bit[found.worst_bit] == min(by_bit)
    assert found.beyond_margin == pytest.approx(sum(beyond) / len(beyond))
    assert found.share_beyond_margin == pytest.approx(len(beyond) / 320)
    assert found.equal_codes == pytest.approx(sum(not any(row) for row in flipped) / 20)


def test_zero_is_bit_0_and_a_margin_may_leave_nothing() -> None:
    continuous = np.zeros((1, 8), np.float32)
    found = BitAgreement.measure(np.zeros((1, 1), np.uint8), continuous)
    assert found.overall == 1
    assert found.beyond_margin is None


@pytest.mark.parametrize(
    ("codes", "continuous", "margin", "message"),
    [
        ((2, 1), (2, 16), 0.1, r"Received: shapes \[2, 1\] and \[2, 16\]"),
        ((1, 2), (2, 16), 0.1, "at least one"),
        ((0, 2), (0, 16), 0.1, "at least one"),
        ((2, 2), (2, 16), -1, "`margin` must be 0 or more. Received: -1"),
    ],
)
def test_bad_arguments_are_named(
    codes: tuple, continuous: tuple, margin: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        BitAgreement.measure(np.zeros(codes, np.uint8), np.zeros(continuous, np.float32), margin)
