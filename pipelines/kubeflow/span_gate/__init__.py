"""SpanGate: decides whether a run on Kubeflow has anything to do, and on which spans."""
