"""Meter: adds the counting ops and signatures to a trained model."""
