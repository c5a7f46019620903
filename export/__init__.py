"""The export application: SavedModels of finished runs, their checks, and a client for them."""
