"""How fast texts become ids in a graph, against the tokenizers' own libraries."""
