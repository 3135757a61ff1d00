"""HTTP <-> control, driven by botocore's service model."""
