"""The bytes of a packed code."""


def packed_width(bits: int) -> int:
    """The number of bytes that hold a code of `bits` bits: K/8, rounded up.

    Where K is not a multiple of 8, zero bits fill the last byte: they are equal in all codes, so
    they change no Hamming distance. Whoever unpacks a code needs to know K.
    """
    return -(-bits // 8)
