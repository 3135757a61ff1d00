"""The Flask application; with no MODEL it gives the body back."""

import os

import flask
from served_body import decode, encode
from served_model import load

predict = load(os.environ["MODEL"]) if os.environ["MODEL"] else None
app = flask.Flask(__name__)


@app.get("/ping")
def ping():
    return flask.Response("")


@app.post("/invocations")
def invocations():
    request = flask.request
    if predict is None:
        return flask.Response(request.data, mimetype=request.mimetype)
    kind = "application/json" if request.mimetype == "application/json" else "text/csv"
    return flask.Response(encode(predict(decode(request.data, request.mimetype)), kind), mimetype=kind)
