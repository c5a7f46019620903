"""The encoder on a device: .tflite files of a finished run, and the check that they agree with it.

Reading and running a file (`metadata`, `device_encoder`, `operators`) needs no TensorFlow.
"""
