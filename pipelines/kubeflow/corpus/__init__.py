"""CorpusExampleGen for a cluster: which corpus and which span is said when a run starts."""
