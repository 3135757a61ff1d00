"""Batch transform without a container: split, pack, send in order, join, write. `control` says where it is sent."""
