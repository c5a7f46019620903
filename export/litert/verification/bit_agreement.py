"""How many bits two encoders agree on."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from keras_hashing.retrieval.packed_width import packed_width


class BitAgreement(BaseModel):
    """How many bits of an encoder are those of the reference.

    Attributes:
        overall: the share of all bits that agree, 0 to 1.
        by_bit: the share for each of the K bits.
        worst_bit: the bit with the least of these.
        margin: what |u| of the reference must exceed, as a share of its mean over all bits.
        beyond_margin: the share that agree among bits with |u| beyond the margin; `None` if there
            is none.
        share_beyond_margin: the share of bits beyond it.
        equal_codes: the share of codes that agree in every bit.
    """

    model_config = ConfigDict(frozen=True)

    overall: float
    by_bit: list[float]
    worst_bit: int
    margin: float
    beyond_margin: float | None
    share_beyond_margin: float
    equal_codes: float

    @classmethod
    def measure(
        cls, codes: NDArray[np.uint8], continuous: NDArray[np.float32], margin: float = 0.1
    ) -> "BitAgreement":
        """Compares packed codes with the reference's continuous codes.

        Args:
            codes: packed codes, uint8 [n, K/8], n at least 1.
            continuous: continuous codes of the same images, float32 [n, K]; bit k is u_k > 0.
            margin: at least 0.

        Raises:
            ValueError: if the shapes do not fit, or `margin` is negative.
        """
        if margin < 0:
            raise ValueError(f"`margin` must be 0 or more. Received: {margin}")
        bits = continuous.shape[-1]
        if len(codes) == 0 or codes.shape != (len(continuous), packed_width(bits)):
            raise ValueError(
                "`codes` must be packed codes of the images of `continuous`, at least one. "
                f"Received: shapes {list(codes.shape)} and {list(continuous.shape)}"
            )
        agree = np.unpackbits(codes, axis=1, count=bits).astype(bool) == (continuous > 0)
        size = np.abs(continuous)
        beyond = size > margin * size.mean()
        by_bit = agree.mean(axis=0)
        return cls(
            overall=float(agree.mean()),
            by_bit=by_bit.tolist(),
            worst_bit=int(by_bit.argmin()),
            margin=margin,
            beyond_margin=float(agree[beyond].mean()) if beyond.any() else None,
            share_beyond_margin=float(beyond.mean()),
            equal_codes=float(agree.all(axis=1).mean()),
        )
