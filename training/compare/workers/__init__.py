"""Worker processes of a comparison, and what they train."""
