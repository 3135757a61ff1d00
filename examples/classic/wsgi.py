"""What gunicorn loads."""

from predictor import app

__all__ = ["app"]
