"""A search page: an index with its pictures, in a browser."""
