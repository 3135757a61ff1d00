"""A server that takes any body and answers one line, to see what sending alone costs.

python batch_null.py PORT
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from seaproof.http.message import Request, Response
from seaproof.http.server import ServerLimits, serve


async def answer(request: Request) -> Response:
    return Response(200, [(b"content-type", b"text/csv")], b"1\n")


async def main(port: int) -> None:
    await serve(answer, host="127.0.0.1", port=port, limits=ServerLimits(body_bytes=2**30))
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
