"""CorpusExampleGen for a cluster: corpus and span are given when a run starts."""
