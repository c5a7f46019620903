"""Retrieval figures of a model that trains on several devices."""

from keras_hashing.callbacks import RetrievalEvaluation
from training.callbacks.undistributed import undistributed


class EvaluationAlone(RetrievalEvaluation):
    """Measures `encoder`, a copy of the trained model's on one device, with its weights of now."""

    def measure(self) -> dict[str, float]:
        """The figures of the model as it is."""
        assert self.encoder is not None
        with undistributed():
            self.encoder.set_weights(self.model.encoder.get_weights())
            return super().measure()
