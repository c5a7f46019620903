"""Indexes of packed codes, built from images."""
