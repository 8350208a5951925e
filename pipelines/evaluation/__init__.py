"""The evaluation of a metered summariser, and the decision on its blessing."""
