"""Training and measuring one run."""
