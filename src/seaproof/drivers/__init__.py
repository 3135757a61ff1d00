"""Seam 1: where a workload runs. `driver` holds the protocol; `docker`, `process` and `fake` are its ways."""
