"""Packed codes, Hamming distance and retrieval figures: pure NumPy, on any Keras backend."""

from keras_hashing.retrieval.average_precision import average_precision, mean_average_precision
from keras_hashing.retrieval.code_index import CodeIndex
from keras_hashing.retrieval.code_statistics import (
    bit_balance,
    bit_correlation,
    code_entropy,
    quantization_error,
    unique_codes,
)
from keras_hashing.retrieval.evaluation import RetrievalFigures, evaluate_retrieval
from keras_hashing.retrieval.hamming import hamming_distance
from keras_hashing.retrieval.index_kinds import HNSW, IVF, MultiHash
from keras_hashing.retrieval.neighbour_recall import neighbour_recall
from keras_hashing.retrieval.packed_width import packed_width
from keras_hashing.retrieval.packing import pack_codes, unpack_codes
from keras_hashing.retrieval.precision import (
    PrecisionRecallCurve,
    precision_at_k,
    precision_recall_curve,
    precision_within_radius,
)
from keras_hashing.retrieval.reranked_recall import reranked_neighbour_recall
from keras_hashing.retrieval.within_radius import WithinRadius

__all__ = [
    "HNSW",
    "IVF",
    "CodeIndex",
    "MultiHash",
    "PrecisionRecallCurve",
    "RetrievalFigures",
    "WithinRadius",
    "average_precision",
    "bit_balance",
    "bit_correlation",
    "code_entropy",
    "evaluate_retrieval",
    "hamming_distance",
    "mean_average_precision",
    "neighbour_recall",
    "pack_codes",
    "packed_width",
    "precision_at_k",
    "precision_recall_curve",
    "precision_within_radius",
    "quantization_error",
    "reranked_neighbour_recall",
    "unique_codes",
    "unpack_codes",
]
