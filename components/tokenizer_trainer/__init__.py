"""TokenizerTrainer: the vocabulary that everything is counted in."""
