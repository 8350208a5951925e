"""MeterValidator: proves that a metered model's counts are right."""
