"""What metering costs: the metered against the base signature of the same model."""
