"""Run in .cache/h2o: trains a MOJO of each kind on the tables in a folder.

python train_mojos.py FOLDER PORT     FOLDER/<table>.csv -> FOLDER/<kind>.zip
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import h2o
from h2o.estimators import (
    H2OGeneralizedLinearEstimator,
    H2OGradientBoostingEstimator,
    H2OKMeansEstimator,
    H2ORandomForestEstimator,
)

FOLDER, PORT = Path(sys.argv[1]), int(sys.argv[2])

MODELS: list[tuple[str, str, str, Any]] = [
    ("binomial", "census", "income", H2OGradientBoostingEstimator(ntrees=20, max_depth=4, seed=1)),
    ("multinomial", "iris", "species", H2ORandomForestEstimator(ntrees=10, seed=1)),
    ("regression", "diabetes", "progress", H2OGradientBoostingEstimator(ntrees=20, max_depth=3, seed=1)),
    ("linear", "census", "income", H2OGeneralizedLinearEstimator(family="binomial", lambda_=0.001, seed=1)),
    ("ordinal", "iris", "species", H2OGeneralizedLinearEstimator(family="ordinal", max_iterations=30, seed=1)),
    ("clusters", "iris", "", H2OKMeansEstimator(k=3, seed=1)),
]


def main() -> None:
    # It lives for seconds: what its second compiler would do is never won back.
    short = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    where: dict[str, Any] = {"port": PORT, "bind_to_localhost": True, "verbose": False}
    h2o.init(nthreads=1, max_mem_size="1g", jvm_custom_args=short, **where)
    h2o.no_progress()
    try:
        for name, table, target, model in MODELS:
            frame = h2o.import_file(str(FOLDER / f"{table}.csv"))
            columns = [column for column in frame.columns if column not in ("income", "species", "progress")]
            if target in ("income", "species"):
                frame[target] = frame[target].asfactor()
            model.train(x=columns, y=target or None, training_frame=frame)
            model.download_mojo(str(FOLDER / f"{name}.zip"))
    finally:
        h2o.cluster().shutdown()


main()
