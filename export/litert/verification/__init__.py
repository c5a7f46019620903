"""The check of .tflite encoders against the Keras model."""
