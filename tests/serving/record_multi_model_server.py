"""Records what multi-model-server 1.1.11 answers, call by call, into multi_model_server_1_1_11.json beside this file.

    python -m venv mms && mms/bin/pip install multi-model-server==1.1.11 setuptools
    mms/bin/python tests/serving/record_multi_model_server.py

It needs Java (recorded with 17), and says at its end which calls were answered otherwise than in the record before.
The server is configured as the SageMaker inference toolkit does it for multi-model endpoints: the model store is /, one
handler for all models, inference and management on one port. The calls are made in order, each on a connection of its
own; `test_multi_model_server.py` makes the same calls against ours.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("multi_model_server_1_1_11.json")
MODELS = ("alpha", "beta", "broken", "hungry", "starving", "failing")
KEPT_HEADERS = ("content-type", "allow")

SERVICE = '''
"""One handler for all models; what it does depends on the folder that it is given."""
import os

def handle(data, context):
    model = os.path.basename(context.system_properties["model_dir"])
    if data is None:
        if model == "broken":
            raise ValueError("weights are missing")
        if model == "hungry":
            raise MemoryError("no room")
        return None
    if model == "starving":
        raise MemoryError("no room")
    if model == "failing":
        raise ValueError("predict failed")
    return [b"%s:%s" % (model.encode(), bytes(row.get("body") or b"")) for row in data]
'''

CONFIG = """\
model_store=/
default_service_handler=service:handle
default_workers_per_model=1
async_logging=true
decode_input_request=false
default_response_timeout=30
inference_address=http://127.0.0.1:{port}
management_address=http://127.0.0.1:{port}
"""


def load(name: str, folder: str = "", content_type: str = "application/json") -> dict[str, Any]:
    """A POST /models."""
    body = json.dumps({"model_name": name, "url": f"{{folder}}/{folder or name}"})
    return send("POST", "/models", body, content_type)


def send(method: str, path: str, body: str = "", content_type: str = "") -> dict[str, Any]:
    """One call."""
    return {"method": method, "path": path, "content_type": content_type, "body": body}


def invoke(name: str, content_type: str = "text/csv") -> dict[str, Any]:
    """A POST /models/{name}/invoke."""
    return send("POST", f"/models/{name}/invoke", "1,2", content_type)


LONG = "0123456789abcdef" * 16
CALLS = {
    "ping without models": send("GET", "/ping"),
    "list without models": send("GET", "/models"),
    "describe what is not loaded": send("GET", "/models/alpha"),
    "delete what is not loaded": send("DELETE", "/models/alpha"),
    "invoke what is not loaded": invoke("alpha"),
    "invocations without models": send("POST", "/invocations", "1,2", "text/csv"),
    "load": load("alpha"),
    "load again": load("alpha"),
    "load the same name from another folder": load("alpha", "beta"),
    "list one": send("GET", "/models"),
    "describe": send("GET", "/models/alpha"),
    "invoke": invoke("alpha"),
    "invoke with another content type": invoke("alpha", "application/x-npy"),
    "invoke by GET": send("GET", "/models/alpha/invoke"),
    "invocations with one model": send("POST", "/invocations", "1,2", "text/csv"),
    "load a folder that is missing": load("gone"),
    "list after a folder that is missing": send("GET", "/models"),
    "load from a path that is a file": load("file", "file.bin"),
    "delete what a file gave": send("DELETE", "/models/file"),
    "load with no body": send("POST", "/models", "", "application/json"),
    "load with broken JSON": send("POST", "/models", '{"model_name": "x"', "application/json"),
    "load with a list": send("POST", "/models", "[]", "application/json"),
    "load without a name": send("POST", "/models", '{"url": "{folder}/alpha"}', "application/json"),
    "load without a url": send("POST", "/models", '{"model_name": "x"}', "application/json"),
    "load with an empty url": send("POST", "/models", '{"model_name": "x", "url": ""}', "application/json"),
    "delete what an empty url gave": send("DELETE", "/models/x"),
    "load as text": load("x", "alpha", "text/plain"),
    "load without a content type": load("x", "alpha", ""),
    "load with a charset": load("charset", "alpha", "application/json; charset=utf-8"),
    "load a model that fails": load("broken"),
    "list after a model that failed": send("GET", "/models/broken"),
    "load a model that finds no memory": load("hungry"),
    "list after a model that found no memory": send("GET", "/models/hungry"),
    "delete what found no memory": send("DELETE", "/models/hungry"),
    "load a model that will starve": load("starving"),
    "invoke without memory": invoke("starving"),
    "load a model that will fail": load("failing"),
    "invoke with a failure": invoke("failing"),
    "load beta": load("beta"),
    "list several": send("GET", "/models"),
    "list a page": send("GET", "/models?limit=2"),
    "list the next page": send("GET", "/models?limit=2&next_page_token=2"),
    "list beyond the last page": send("GET", "/models?next_page_token=99"),
    "list as many as there are": send("GET", "/models?limit=5"),
    "list with a limit of 0": send("GET", "/models?limit=0"),
    "list with a negative limit": send("GET", "/models?limit=-1"),
    "list with a limit that is too large": send("GET", "/models?limit=101"),
    "list with a limit that is no number": send("GET", "/models?limit=many"),
    "list with a negative token": send("GET", "/models?next_page_token=-1"),
    "list with a token that is no number": send("GET", "/models?next_page_token=next"),
    "load a name with odd characters": load("a b%ü+?", "alpha"),
    "describe a name with odd characters": send("GET", "/models/a%20b%25%C3%BC%2B%3F"),
    "invoke a name with odd characters": invoke("a%20b%25%C3%BC%2B%3F"),
    "delete a name with odd characters": send("DELETE", "/models/a%20b%25%C3%BC%2B%3F"),
    "load a name with a slash": load("a/b", "alpha"),
    "describe a name with a slash": send("GET", "/models/a%2Fb"),
    "invoke a name with a slash": invoke("a%2Fb"),
    "delete a name with a slash": send("DELETE", "/models/a%2Fb"),
    "load a long name": load(LONG, "alpha"),
    "invoke a long name": invoke(LONG),
    "delete a long name": send("DELETE", f"/models/{LONG}"),
    "delete all models": send("DELETE", "/models"),
    "post to a model": send("POST", "/models/alpha", "{}", "application/json"),
    "a path that is none": send("GET", "/nothing"),
    "ping with models": send("GET", "/ping"),
    "delete": send("DELETE", "/models/alpha"),
    "delete again": send("DELETE", "/models/alpha"),
    "describe after deletion": send("GET", "/models/alpha"),
    "invoke after deletion": invoke("alpha"),
    "load after deletion": load("alpha"),
    "invoke after loading again": invoke("alpha"),
}


def folders(root: Path) -> None:
    """Make the folder that the calls name as {folder}."""
    for name in MODELS:
        (root / name).mkdir(parents=True)
        (root / name / "weights.txt").write_text(name)
    (root / "file.bin").write_text("no folder")


def exchange(port: int, call: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make one call; status, the headers that matter, and the body as JSON or text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": call["content_type"]} if call["content_type"] else {}
    body = call["body"].replace("{folder}", str(folder)).encode()
    try:
        connection.request(call["method"], call["path"], body or None, headers)
        reply = connection.getresponse()
        text = reply.read().decode().replace(str(folder), "{folder}")
        kept = {name: reply.headers[name] for name in KEPT_HEADERS if name in reply.headers}
        try:
            return {"status": reply.status, "headers": kept, "json": json.loads(text)}
        except ValueError:
            return {"status": reply.status, "headers": kept, "text": text}
    finally:
        connection.close()


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer without what differs from run to run."""
    text = json.dumps(answer)
    for pattern, put in ((r'("(?:startTime|id|memoryUsage|pid)": )(?:"[^"]*"|\d+)', r'\1"..."'),):
        text = re.sub(pattern, put, text)
    value: dict[str, Any] = json.loads(text)
    return value


def main() -> int:
    """Start the server, make the calls, write the record."""
    root = Path(tempfile.mkdtemp(prefix="mms-record-"))
    port = free_port()
    folders(root / "models")
    (root / "code").mkdir()
    (root / "tmp").mkdir()
    (root / "code" / "service.py").write_text(SERVICE)
    (root / "mms.properties").write_text(CONFIG.format(port=port))
    command = [str(Path(sys.executable).with_name("multi-model-server")), "--start", "--foreground"]
    command += ["--model-store", "/", "--mms-config", str(root / "mms.properties")]
    environ = {
        **os.environ,
        "PYTHONPATH": str(root / "code"),
        "TMPDIR": str(root / "tmp"),
        "TEMP": str(root / "tmp"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    with (root / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=root, env=environ, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        wait_for(port, server, root / "log")
        answers = {}
        for name, call in CALLS.items():
            answer = plain(exchange(port, call, root / "models"))
            sys.stdout.write(f"{answer['status']}  {name}\n")
            answers[name] = {"call": call, "answer": answer}
        changed = replace_record(answers)
        sys.stdout.write(f"changed: {', '.join(changed)}\n" if changed else "all as in the record that was there\n")
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
    shutil.rmtree(root)
    return 0


def replace_record(answers: dict[str, Any]) -> list[str]:
    """Write the record; the calls that were answered otherwise in the one before it."""
    before = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    RECORD.write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return [name for name in {**before, **answers} if before.get(name) != answers.get(name)]


def free_port() -> int:
    """A port that nobody has; the server takes none above 32767."""
    for port in range(20000, 32767):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise SystemExit("there is no free port")


def wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the server's first answer."""
    deadline = time.monotonic() + 60
    while True:
        try:
            exchange(port, send("GET", "/ping"), log)
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(log.read_text()) from None
            time.sleep(0.2)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
