"""Saved models, served as they are: one file for each format, found by what lies in the model folder.

Runs in the image. A library is imported only when a model of its format is there.
"""
