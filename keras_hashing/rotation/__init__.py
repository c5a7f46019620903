"""Rotations of trained codes: smaller quantization error, the same inner products.

A rotation is learned on continuous codes of the training images and folded into the head, so the
model that is served keeps its shape:

```python
codes = model.encoder.predict(images)
keras_hashing.rotation.fold_rotation(model.head, keras_hashing.rotation.itq_rotation(codes))
```

It is worth a try where the similarity objective depends on inner products (or cosines) of the raw
code alone: DPSH, DSDH. Objectives on tanh u do not keep their value under a rotation.
"""

from keras_hashing.rotation.fold_rotation import fold_rotation
from keras_hashing.rotation.h2q import h2q_rotation
from keras_hashing.rotation.itq import itq_rotation

__all__ = ["fold_rotation", "h2q_rotation", "itq_rotation"]
