"""Set-up of a TensorFlow Serving."""
