"""Corpora: where (document, summary) pairs come from before the pipeline reads them."""
