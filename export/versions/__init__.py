"""Numbered versions of a served model."""
