"""The service."""

import os

import bentoml
import numpy
from served_model import load


@bentoml.service(workers=int(os.environ["WORKERS"]), traffic={"timeout": 60}, metrics={"enabled": False})
class Served:
    def __init__(self) -> None:
        self.function = load(os.environ["MODEL"])

    @bentoml.api(route="/invocations")
    def predict(self, rows: list[list[float]]) -> list[float]:
        return self.function(numpy.array(rows)).tolist()
