"""Image files: header, decoding, size. TensorFlow ops, shared by training and serving."""
