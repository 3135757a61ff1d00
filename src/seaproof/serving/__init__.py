"""Runs in the image: answers /ping and /invocations for an author's functions."""
