"""Callbacks: schedules and retrieval figures while training."""

from keras_hashing.callbacks.retrieval_evaluation import RetrievalEvaluation
from keras_hashing.callbacks.scale_continuation import ScaleContinuation

__all__ = ["RetrievalEvaluation", "ScaleContinuation"]
