"""Models for phones: a pushed version as one LiteRT file, and a runtime without TensorFlow."""
