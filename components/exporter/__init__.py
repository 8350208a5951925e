"""Exporter: trained weights and decoding settings become the base SavedModel."""
