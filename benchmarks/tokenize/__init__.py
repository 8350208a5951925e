"""Compares the speed of tokenizing in the graph with that of the tokenizers' own libraries."""
