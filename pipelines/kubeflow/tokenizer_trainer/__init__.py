"""TokenizerTrainer for a cluster: pinned to the champion that is found in the run."""
