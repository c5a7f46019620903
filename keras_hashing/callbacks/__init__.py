"""Callbacks: schedules, retrieval figures while training, and the end of one that went wrong."""

from keras_hashing.callbacks.refuse_non_finite_loss import RefuseNonFiniteLoss
from keras_hashing.callbacks.retrieval_evaluation import RetrievalEvaluation
from keras_hashing.callbacks.scale_continuation import ScaleContinuation

__all__ = ["RefuseNonFiniteLoss", "RetrievalEvaluation", "ScaleContinuation"]
