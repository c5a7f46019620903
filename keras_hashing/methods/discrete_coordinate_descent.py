"""Binary quadratic programs, one bit at a time."""

from typing import Any

from keras import ops

Tensor = Any


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
    own_term = ops.diagonal(quadratic)

    def is_moving(step: Tensor, unchanged: Tensor, codes: Tensor, products: Tensor) -> Tensor:
        return ops.logical_and(step < sweeps * bits, unchanged < bits)

    def set_one_bit(
        step: Tensor, unchanged: Tensor, codes: Tensor, products: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        k = step % bits
        bit = ops.take(codes, k, axis=1)
        wish = ops.take(linear, k, axis=1) - (
            ops.take(products, k, axis=1) - ops.take(own_term, k) * bit
        )
        change = ops.where(wish == 0, bit, ops.sign(wish)) - bit
        column = ops.cast(ops.arange(bits) == k, codes.dtype)
        codes = codes + ops.expand_dims(change, 1) * column
        products = products + ops.expand_dims(change, 1) * ops.take(quadratic, k, axis=0)
        unchanged = ops.where(ops.any(change != 0), 0, unchanged + 1)
        return step + 1, ops.cast(unchanged, "int32"), codes, products

    zero = ops.convert_to_tensor(0, dtype="int32")
    state = (zero, zero, start, ops.matmul(start, quadratic))
    return ops.stop_gradient(ops.while_loop(is_moving, set_one_bit, state)[2])
