"""The encoder: from images to codes, the name of its code space, and its card."""
