"""DSDH as a method."""

from typing import Any

import keras
from keras import ops

from keras_hashing import backend, losses
from keras_hashing.checks import check_count, check_not_negative, check_positive
from keras_hashing.losses.inputs import check_codes, check_labels, is_labelled
from keras_hashing.methods.discrete_coordinate_descent import discrete_coordinate_descent
from keras_hashing.methods.pairwise_method import PairwiseMethod

Tensor = Any


class _TargetDistance(keras.losses.Loss):
    """1/K ‖b - u‖² of continuous codes u (`y_pred`) and binary codes b (`y_true`).

    No `QuantizationLoss`: those read the code alone, and a head gives them nothing else.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return ops.mean(ops.square(ops.stop_gradient(y_true) - y_pred), axis=-1)


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class DSDH(PairwiseMethod):
    """Deep supervised discrete hashing (Li, Sun, He, Tan, NeurIPS 2017).

    With binary codes B = (b_1 … b_N) and a linear classifier W (bits × classes) the paper
    minimises, in turn over the network, W and B,

        Σ_ij log(1 + exp θ_ij) - s_ij θ_ij          the likelihood of θ_ij = ½ u_i·u_j
        + μ Σ_i ‖y_i - Wᵀ b_i‖² + ν ‖W‖²            the classifier, on binary codes
        + η Σ_i ‖b_i - u_i‖²                        what ties B to the network

    - W, given B, is ridge regression: W = (B Bᵀ + ν/μ I)⁻¹ B Yᵀ.
    - B, given W and U: no term joins two rows, so each b_i by itself minimises
      b·(W Wᵀ) b - 2 (W y_i + η/μ u_i)·b, by discrete cyclic coordinate descent
      (`discrete_coordinate_descent`).
    - The network sees B in the pull η ‖b_i - u_i‖², whose gradient is 2η (u_i - b_i).

    The pull is all that reaches the network of the classifier, so it is part of the objective,
    as η/K ‖b_i - u_i‖², whatever the quantization: without it DSDH is DPSH. It is the paper's
    quantization too: `native` adds the same term once more, with the model's
    `quantization_weight`, so that η in all is `eta + quantization_weight`. With `eta=0` the pull
    is the native quantization alone, which another one replaces. (A wide-spread rewrite of DSDH,
    and the code of the HSWD paper after it, have no pull at all: B and W change nothing there.)

    Rows of B need no place to be kept: b_i is solved anew, in the graph, for each sample of the
    batch. W alone joins the samples, and by two sums only, B Bᵀ and B Yᵀ. They are weights
    of this layer, and so is W, which is solved after every step (the paper: every epoch). A batch
    of n multiplies the sums by 1 - n/window before its own codes are added, so that they describe
    about the latest `window` samples; with a window of at most a batch, they are those of
    that batch. Under `tf.distribute` the batch is the global one. Evaluation writes nothing.

    η/μ decides how much the labels move B. Given the W of a trained model (scikit-learn's digits,
    32 bits), B differs from sign u in 0.04% of the bits with the 55 of published code, and in 1.2%
    with 0.1, the default here. η was chosen on held-out training images of CIFAR-10 (frozen
    features, 32 bits, three seeds, `benchmarks.quality.dsdh_pull`): a mAP of 0.594 with 0,
    which is DPSH, 0.628 with 0.3, 0.629 with 1, the default, 0.620 with 3 and 0.582 with 10.

    Single- and multi-label. The published code compares the batch with the latest code of every
    training sample; `memory_size` sets with how many here.

    Args:
        bits: K, the length of the code.
        num_classes: number of label columns.
        memory_size: number of recent codes that the batch is compared with, beside itself.
        eta: η, the weight of the pull (a mean over the bits) beside the likelihood (a mean over
            the pairs), at least 0.
        eta_over_mu: η/μ, how much b_i keeps to u_i rather than to its label, positive.
        nu_over_mu: ν/μ, the ridge, positive.
        window: number of recent samples that W is fitted to, at least 1.
        sweeps: bound on the sweeps of coordinate descent over the bits, at least 1.
        **kwargs: as in `keras.layers.Layer`.

    Raises:
        ValueError: if an argument breaks its rule.
    """

    needs_num_classes = True

    def __init__(
        self,
        bits: int,
        num_classes: int | None = None,
        memory_size: int = 0,
        eta: float = 1.0,
        eta_over_mu: float = 0.1,
        nu_over_mu: float = 0.1,
        window: int = 5000,
        sweeps: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(bits=bits, num_classes=num_classes, memory_size=memory_size, **kwargs)
        self.eta = check_not_negative("eta", eta)
        self.eta_over_mu = check_positive("eta_over_mu", eta_over_mu)
        self.nu_over_mu = check_positive("nu_over_mu", nu_over_mu)
        self.window = check_count("window", window)
        self.sweeps = check_count("sweeps", sweeps)

        def add(name: str, columns: int | None) -> Any:
            return self.add_weight(
                name=name,
                shape=(bits, columns),
                initializer="zeros",
                trainable=False,
                aggregation="only_first_replica",
            )

        self.code_products = add("code_products", bits)  # B Bᵀ
        self.label_products = add("label_products", num_classes)  # B Yᵀ
        self.classifier = add("classifier", num_classes)  # W

    def objective(self) -> losses.DPSH:
        """The pairwise likelihood."""
        return losses.DPSH()

    def native_quantization(self) -> keras.losses.Loss:
        """‖b - u‖² / K, of the binary codes that `native_targets` solves."""
        return _TargetDistance(name="target_distance")

    def similarity(self, labels: Tensor, codes: Tensor, training: bool) -> Tensor:
        """The likelihood and the pull: (batch,). In training, W is fitted to B afterwards."""
        values = super().similarity(labels, codes, training)
        binary = self.binary_codes(labels, codes)
        if training:
            self._update_classifier(labels, binary)
        return values + self.eta * self.native_quantization().call(binary, codes)

    def native_targets(self, labels: Tensor, codes: Tensor) -> Tensor:
        """B of the batch, given the current W."""
        labels = check_labels(labels, self.num_classes)
        return self.binary_codes(labels, check_codes(codes, "codes"))

    def binary_codes(self, labels: Tensor, codes: Tensor) -> Tensor:
        """b_i of each sample, given the current W: ±1, shape (batch, bits).

        Where there is no label it is sign u.
        """
        classifier = ops.convert_to_tensor(self.classifier)
        codes = ops.stop_gradient(codes)
        signs = ops.where(codes > 0, 1.0, -1.0)
        solved = discrete_coordinate_descent(
            quadratic=ops.matmul(classifier, ops.transpose(classifier)),
            linear=ops.matmul(labels, ops.transpose(classifier)) + self.eta_over_mu * codes,
            start=signs,
            sweeps=self.sweeps,
        )
        return ops.where(ops.expand_dims(is_labelled(labels), 1), solved, signs)

    def _update_classifier(self, labels: Tensor, binary: Tensor) -> None:
        labels, binary = backend.all_gather(labels), backend.all_gather(binary)
        labelled = ops.cast(is_labelled(labels), "float32")
        kept = ops.maximum(1 - ops.sum(labelled) / self.window, 0)
        binary = binary * ops.expand_dims(labelled, 1)  # a row of 0 adds to neither sum
        transposed = ops.transpose(binary)
        self.code_products.assign(kept * self.code_products + ops.matmul(transposed, binary))
        self.label_products.assign(kept * self.label_products + ops.matmul(transposed, labels))
        ridge = self.nu_over_mu * ops.eye(self.bits)
        self.classifier.assign(
            ops.solve(
                ops.convert_to_tensor(self.code_products) + ridge,
                ops.convert_to_tensor(self.label_products),
            )
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal method."""
        return {
            **super().get_config(),
            "eta": self.eta,
            "eta_over_mu": self.eta_over_mu,
            "nu_over_mu": self.nu_over_mu,
            "window": self.window,
            "sweeps": self.sweeps,
        }
