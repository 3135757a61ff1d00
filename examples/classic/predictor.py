"""The Flask application: /ping and /invocations around a pickled scikit-learn model."""

import io
import os
import pickle

import flask
import pandas

MODEL = os.path.join("/opt/ml/model", "decision-tree-model.pkl")


class ScoringService:
    """Holds the model, read at the first use in each worker."""

    model = None

    @classmethod
    def get_model(cls):
        if cls.model is None:
            with open(MODEL, "rb") as file:
                cls.model = pickle.load(file)
        return cls.model

    @classmethod
    def predict(cls, table):
        return cls.get_model().predict(table.to_numpy())


app = flask.Flask(__name__)


@app.route("/ping", methods=["GET"])
def ping():
    healthy = ScoringService.get_model() is not None
    return flask.Response(response="\n", status=200 if healthy else 404, mimetype="application/json")


@app.route("/invocations", methods=["POST"])
def invocations():
    if flask.request.content_type != "text/csv":
        return flask.Response(response="This predictor only supports CSV data", status=415, mimetype="text/plain")
    table = pandas.read_csv(io.StringIO(flask.request.data.decode("utf-8")), header=None)
    print(f"Invoked with {table.shape[0]} records")
    predictions = ScoringService.predict(table)
    out = io.StringIO()
    pandas.DataFrame({"results": predictions}).to_csv(out, header=False, index=False)
    return flask.Response(response=out.getvalue(), status=200, mimetype="text/csv")
