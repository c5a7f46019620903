"""An index in the store that people run already, and back."""

from export.stores.faiss_file import FaissStore
from export.stores.metadata import StoreMetadata
from export.stores.parquet import ParquetStore
from export.stores.pgvector import PgvectorStore
from export.stores.store import Store

__all__ = ["FaissStore", "ParquetStore", "PgvectorStore", "Store", "StoreMetadata"]
