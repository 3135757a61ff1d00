"""The container contract, written once: what SageMaker and a container owe each other.

Standard library only. The side that runs containers (`drivers`, `control`) and the side that lives in them
(`serving`, `training`) import the same modules, so that neither can drift from the other.
"""
