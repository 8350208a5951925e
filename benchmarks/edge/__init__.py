"""A version as a LiteRT file against its SavedModel: ids, counts, size, latency."""
