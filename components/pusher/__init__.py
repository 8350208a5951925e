"""Pushes a validated version atomically."""
