"""What a pipeline's data nodes take, by the size of the corpus and the number of workers."""
