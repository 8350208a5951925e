"""Exporter's user code: trained weights and decoding settings become the base SavedModel."""
