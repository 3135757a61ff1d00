"""seaproof proves a SageMaker container on your own machine and then ships it."""

__version__ = "0.1.0"
