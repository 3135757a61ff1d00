"""The Starlette application; with no MODEL it gives the body back."""

import os

from served_body import decode, encode
from served_model import load
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

predict = load(os.environ["MODEL"]) if os.environ["MODEL"] else None


async def ping(request: Request) -> Response:
    return Response()


async def invocations(request: Request) -> Response:
    body = await request.body()
    content_type = request.headers["content-type"]
    if predict is None:
        return Response(body, media_type=content_type)
    kind = "application/json" if content_type == "application/json" else "text/csv"
    # On the loop itself: a thread would cost more than such a prediction takes.
    return Response(encode(predict(decode(body, content_type)), kind), media_type=kind)


app = Starlette(routes=[Route("/ping", ping), Route("/invocations", invocations, methods=["POST"])])
