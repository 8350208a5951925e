"""Reads (document, summary) pairs from JSONL, CSV, Parquet or TFRecord into Examples."""
