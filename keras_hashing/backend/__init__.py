"""What `keras.ops` lacks, for the active Keras backend only.

Both modules offer the same functions, so that the rest of the library is written once:

- `all_gather`, `first_row`, `replica_key`: the global batch under `tf.distribute`.
- `nth_smallest`: selection of an order statistic, O(n), where the backend has it.
- `stateless_normal`, `stateless_signs`: random numbers from a seed that is itself a tensor.
- `optimal_assignment`: an exact assignment, solved on the host.
- `differing_bits`, `map_rows`, `checked_scalar`: xor and population count, rows one after another,
  and a rule for a number that is itself a tensor.
"""

import importlib
from types import ModuleType

import keras

_ACTIVE = keras.backend.backend()

_backend: ModuleType
if _ACTIVE in ("tensorflow", "jax"):
    _backend = importlib.import_module(f"keras_hashing.backend.{_ACTIVE}")
else:
    raise ImportError(
        "keras_hashing runs on the TensorFlow and the JAX backend of Keras. "
        f"Received: backend={_ACTIVE!r}. Set the environment variable KERAS_BACKEND to "
        "'tensorflow' or 'jax' before Keras is imported."
    )

all_gather = _backend.all_gather
checked_scalar = _backend.checked_scalar
differing_bits = _backend.differing_bits
first_row = _backend.first_row
map_rows = _backend.map_rows
nth_smallest = _backend.nth_smallest
optimal_assignment = _backend.optimal_assignment
replica_key = _backend.replica_key
stateless_normal = _backend.stateless_normal
stateless_signs = _backend.stateless_signs
