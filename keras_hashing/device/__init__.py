"""Encoders in .tflite files, run as a phone runs them."""
