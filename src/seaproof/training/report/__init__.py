"""The report of a training: one HTML file that needs nothing else, for people who would rather look than read."""
