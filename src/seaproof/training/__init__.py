"""Runs in the image: the `train` entry, typed access to what the job was given, the failure file."""

from seaproof.training.job import Job

__all__ = ["Job"]
