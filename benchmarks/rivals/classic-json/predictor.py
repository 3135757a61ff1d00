"""The Flask application of examples/classic as those write it who take JSON: rows in, predictions out."""

import os
import pickle

import flask
import numpy

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


app = flask.Flask(__name__)


@app.route("/ping", methods=["GET"])
def ping():
    healthy = ScoringService.get_model() is not None
    return flask.Response(response="\n", status=200 if healthy else 404, mimetype="application/json")


@app.route("/invocations", methods=["POST"])
def invocations():
    table = numpy.array(flask.request.get_json(), dtype=float)
    predictions = ScoringService.get_model().predict(table)
    return flask.jsonify(predictions.tolist())
