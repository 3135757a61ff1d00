"""How good a model is: the metrics that a config can name, on rows whose targets are known."""
