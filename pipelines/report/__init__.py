"""The report of a run: one HTML file, readable offline, made from what the run recorded."""
