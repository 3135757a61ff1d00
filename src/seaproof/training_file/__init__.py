"""The config file of a training on the user's side: read with its lines, checked against the data, put into words."""
