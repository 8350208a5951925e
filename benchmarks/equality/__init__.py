"""Whether the decode graph writes what keras-hub's own generation writes."""
