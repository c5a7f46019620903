"""Encoding collections that outgrow a process: Apache Beam. `encode_images` is for pipelines."""
