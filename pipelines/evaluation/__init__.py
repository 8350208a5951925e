"""What a metered summariser is measured by, and what decides its blessing."""
