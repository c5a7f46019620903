"""Binary quadratic programs, one bit at a time."""

from typing import Any

from keras import ops

Tensor = Any

BLOCK = 64  # bits that are set before all others hear of it, by one matrix product


def discrete_coordinate_descent(
    quadratic: Tensor, linear: Tensor, start: Tensor, sweeps: int
) -> Tensor:
    """Minimises b·Q b - 2 p·b over b in {-1, +1}^K for each row, by discrete cyclic descent (DCC).

    One bit after the other is set to the best it can be while the others stand still:

        b_k = sign(p_k - Σ_{l≠k} Q_kl b_l),   unchanged where that is 0

    until no bit of any row changes any more, or for `sweeps` rounds over the bits. The value
    never rises. Where it stops by itself, no change of a single bit lowers it: a coordinate-wise
    optimum. That is the global optimum where Q is diagonal; in general the problem is NP-hard,
    and DCC promises no more.

    A step needs Q b of the bits as they are. It is kept up to date within a block of bits, and
    for all others by one matrix product after the block.

    Source: Shen, Shen, Liu, Shen, "Supervised Discrete Hashing", CVPR 2015; in DSDH (Li, Sun,
    He, Tan, NeurIPS 2017) the update of B.

    Args:
        quadratic: Q, symmetric, shape (bits, bits).
        linear: p of each row, shape (batch, bits).
        start: ±1, shape (batch, bits).
        sweeps: bound on the rounds.

    Returns:
        ±1, shape (batch, bits). It takes no gradient.
    """
    quadratic, linear, start = map(ops.stop_gradient, (quadratic, linear, start))
    bits = linear.shape[-1]
    size = min(BLOCK, bits)
    blocks = -(-bits // size)
    padding = blocks * size - bits  # bits without a term: nothing moves them
    quadratic = ops.pad(quadratic, [[0, padding], [0, padding]])
    linear, start = (ops.pad(x, [[0, 0], [0, padding]]) for x in (linear, start))

    def is_moving(step: Tensor, unchanged: Tensor, codes: Tensor, products: Tensor) -> Tensor:
        return ops.logical_and(step < sweeps * blocks, unchanged < blocks)

    def set_block(
        step: Tensor, unchanged: Tensor, codes: Tensor, products: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        columns = step % blocks * size + ops.arange(size, dtype="int32")
        rows = ops.take(quadratic, columns, axis=0)
        before = ops.take(codes, columns, axis=1)
        wishes = ops.take(linear - products, columns, axis=1)
        after = _set_bits(ops.take(rows, columns, axis=1), wishes, before)
        change = after - before
        codes = ops.slice_update(codes, (0, columns[0]), after)
        unchanged = ops.where(ops.any(change != 0), 0, unchanged + 1)
        products = products + ops.matmul(change, rows)
        return step + 1, ops.cast(unchanged, "int32"), codes, products

    zero = ops.convert_to_tensor(0, dtype="int32")
    state = (zero, zero, start, ops.matmul(start, quadratic))
    return ops.stop_gradient(ops.while_loop(is_moving, set_block, state)[2][:, :bits])


def _set_bits(quadratic: Tensor, wishes: Tensor, bits: Tensor) -> Tensor:
    """Sets the bits of one block, one after the other.

    Args:
        quadratic: Q within the block, shape (size, size).
        wishes: p - Q b at the block's bits, with their own term still in it, shape (batch, size).
        bits: the block before, shape (batch, size).

    Returns:
        The block after, shape (batch, size).
    """
    places = ops.arange(bits.shape[1])

    def set_one_bit(k: Tensor, bits: Tensor, wishes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        row = ops.take(quadratic, k, axis=0)
        bit = ops.take(bits, k, axis=1)
        wish = ops.take(wishes, k, axis=1) + ops.take(row, k) * bit
        change = ops.expand_dims(ops.where(wish == 0, bit, ops.sign(wish)) - bit, 1)
        bits = bits + change * ops.cast(places == k, bits.dtype)
        return k + 1, bits, wishes - change * row

    first = ops.convert_to_tensor(0, dtype="int32")
    return ops.while_loop(
        lambda k, bits, wishes: k < bits.shape[1], set_one_bit, (first, bits, wishes)
    )[1]
