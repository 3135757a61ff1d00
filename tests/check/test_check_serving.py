"""Checks of a container that serves: for each one that fails it for exactly that reason, in several languages.

They run on the process driver, which gives each a network, a file system and a process table of its own.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from containers import BINDS, INVOKE, UNHURRIED, causes, folder, in_c, outcome, prove, server
from containers import judged as found

from seaproof.check.check import FAILED, NOT_APPLICABLE, PASSED, UNCHECKED, WARNED, Report
from seaproof.check.options import Payload

ROLES = ("realtime", "serverless")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Everything that is run, on the good server."""
    target = folder(tmp_path_factory.mktemp("good"), serve=server())
    return prove(target, roles=("realtime", "batch", "serverless"), **UNHURRIED)


@pytest.mark.good(
    "SP008",
    "SP009",
    "SP010",
    "SP015",
    "SP018",
    "SP020",
    "SP034",
    "SP035",
    "SP037",
    "SP038",
    "SP040",
    "SP050",
    "SP052",
    "SP101",
    "SP103",
    "SP106",
    "SP109",
    "SP115",
    "SP133",
    "SP137",
    "SP138",
)
def test_the_good_server_passes_all_that_is_run(good: Report):
    wrong = [(r.check.id, r.outcome, r.reason, [f.cause for f in r.findings]) for r in good.results if r.findings]

    assert wrong == []
    assert good.exit_code == 0, [(r.check.id, r.reason) for r in good.results if r.blocks]
    assert len(good.of(PASSED)) > 25
    assert {r.check.id for r in good.of(UNCHECKED)} <= {"SP004", "SP005", "SP006", "SP033", "SP036"}
    assert good.measure.ready_seconds
    assert len(good.measure.latencies) == 200
    assert good.measure.concurrency[0][0] == 1


LISTENS = """#include <arpa/inet.h>
#include <unistd.h>
int main(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(%d)};
    int one = 1, on = socket(AF_INET, SOCK_STREAM, 0);
    inet_aton("%s", &at.sin_addr);
    setsockopt(on, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bind(on, (struct sockaddr *)&at, sizeof at);
    listen(on, 16);
    // Closed with something unread, it would be reset, and what was written be lost.
    char asked[4096];
    for (;;) { int to = accept(on, 0, 0); read(to, asked, sizeof asked); write(to, "%s", %d); close(to); }
}
"""
HELLO = "HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n"


@pytest.mark.parametrize(
    ("port", "address", "answer", "length", "cause"),
    [
        (8080, "127.0.0.1", HELLO, 38, "it listens on 127.0.0.1:8080 only"),
        (5000, "0.0.0.0", HELLO, 38, "it listens on 0.0.0.0:5000, and not on port 8080"),
        (8080, "0.0.0.0", "hello there\\n", 12, "what listens there does not answer in HTTP"),
    ],
)
def test_a_server_in_c_on_the_wrong_address_is_found(
    tmp_path: Path, port: int, address: str, answer: str, length: int, cause: str
):
    in_c(tmp_path, LISTENS % (port, address, answer, length))
    report = prove(tmp_path, "SP007", roles=ROLES, patience=4.0)

    assert outcome(report, "SP007") == FAILED
    assert cause in causes(report, "SP007")


@pytest.mark.bad("SP007")
def test_a_container_that_hangs_is_failed_only_after_the_platforms_own_time(tmp_path: Path):
    hangs = "#!/bin/sh\nexec sleep 1000\n"

    assert found(tmp_path, "SP007", hangs, patience=0.5, startup_seconds=0.5)[0] == FAILED
    assert found(tmp_path, "SP007", hangs, patience=0.5, startup_seconds=480.0)[0] == UNCHECKED


LOADS = """import socket
with socket.create_server(("127.0.0.1" if %r else "0.0.0.0", 9000)):
    end = time.monotonic() + %g
    while time.monotonic() < end:
        pass
"""


def test_a_port_that_opens_before_the_model_is_loaded_is_no_wrong_port(tmp_path: Path):
    soon = server(start=LOADS % (False, 3.4))

    assert found(tmp_path, "SP007", soon)[0] == PASSED
    late = server(start=LOADS % (True, 60))
    assert found(tmp_path, "SP007", late, patience=0.5, startup_seconds=480.0)[0] == UNCHECKED


@pytest.mark.bad("SP107")
@pytest.mark.good("SP107")
def test_a_label_that_is_not_kept_is_found(tmp_path: Path):
    (tmp_path / "seaproof.toml").write_text(BINDS)

    assert found(tmp_path, "SP107", server(start="port = 8080"))[0] == FAILED
    assert found(tmp_path, "SP107", server())[0] == PASSED


NODE = """#!/usr/bin/env node
require("http").createServer((request, response) => {
  response.writeHead(request.url === "/health" ? 200 : 404); response.end();
}).listen(8080);
"""


@pytest.mark.bad("SP008")
def test_a_node_server_without_ping_is_found(tmp_path: Path):
    assert found(tmp_path, "SP008", NODE, patience=4.0) == (FAILED, "GET /ping is answered with 404")


@pytest.mark.parametrize(
    ("ping", "cause"),
    [
        ('self.answer(401, b"who are you")', "GET /ping is answered with 401"),
        ("self.answer(301)", "GET /ping is answered with 301"),
        ("time.sleep(2.5); self.answer(200)", "GET /ping is not answered within 2 s"),
    ],
)
@pytest.mark.bad("SP008")
def test_a_ping_that_is_not_200_in_time_is_found(tmp_path: Path, ping: str, cause: str):
    assert found(tmp_path, "SP008", server(ping=ping), patience=4.0) == (FAILED, cause)


@pytest.mark.bad("SP009")
def test_a_ping_that_comes_and_goes_is_found(tmp_path: Path):
    flaps = "n = globals()['n'] = globals().get('n', 0) + 1; self.answer(200 if n % 4 else 500)"

    assert found(tmp_path, "SP009", server(ping=flaps)) == (FAILED, "/ping is 200 at one time and not at another")


@pytest.mark.bad("SP009")
def test_a_proxy_without_anything_behind_it_is_found(tmp_path: Path):
    (tmp_path / "nginx.conf").write_text(
        "daemon off; pid /tmp/n.pid; error_log /dev/stderr; events {}\n"
        "http { access_log off; server { listen 8080; location / { proxy_pass http://unix:/tmp/none.sock; } } }\n"
    )
    state, told = found(
        tmp_path, "SP009", "#!/bin/sh\nexec nginx -c /opt/program/nginx.conf\n", patience=2, startup_seconds=480
    )

    assert (state, told) == (UNCHECKED, "")
    state, told = found(
        tmp_path, "SP009", "#!/bin/sh\nexec nginx -c /opt/program/nginx.conf\n", patience=2, startup_seconds=2
    )
    assert "/ping stays at 502: what is behind the proxy never answers" in told


@pytest.mark.bad("SP010")
def test_a_slow_start_is_told_with_its_time(tmp_path: Path):
    assert found(tmp_path, "SP010", server(start="time.sleep(2.5)"), startup_seconds=5.0)[0] == WARNED
    assert found(tmp_path, "SP010", server(start="time.sleep(0.6)"), startup_seconds=0.5)[0] == FAILED


@pytest.mark.bad("SP109")
def test_a_container_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path):
    folder(tmp_path, serve="#!/bin/sh\nprintf '\\033[31mno model here\\033[0m' >&2\nexit 7\n")
    report = prove(tmp_path, "SP109", roles=ROLES)
    evidence = {e.title: e.text for e in report.results[0].findings[0].evidence}

    assert causes(report, "SP109") == "it ended with exit code 7 before /ping was 200"
    assert evidence["last lines of its log"] == "no model here"
    for misses in ("#!/bin/bash\nset -u\necho $MODEL_BUCKET\n", server(start="os.environ['MODEL_BUCKET']")):
        folder(tmp_path, serve=misses)
        fix = prove(tmp_path, "SP109", roles=ROLES).results[0].findings[0].fix
        assert fix.startswith("seaproof check ... --env MODEL_BUCKET=VALUE")


@pytest.mark.bad("SP011")
@pytest.mark.good("SP011")
def test_a_single_thread_that_computes_leaves_the_ping_waiting(tmp_path: Path):
    slow = INVOKE.replace("self.answer(200,", "time.sleep(0.7); self.answer(200,")
    single = server(invoke=slow).replace("class Server(ThreadingHTTPServer)", "class Server(HTTPServer)")

    assert found(tmp_path, "SP011", single, invocation_seconds=4)[0] == FAILED
    again = (found(tmp_path, "SP011", server(invoke=slow), invocation_seconds=4)[0] for _ in range(3))
    assert PASSED in again  # not where all of this machine stood still for a second


@pytest.mark.bad("SP015")
def test_an_answer_that_takes_too_long_is_found(tmp_path: Path):
    slow = INVOKE.replace("self.answer(200,", "time.sleep(1.5); self.answer(200,")
    slower = slow.replace("1.5", "2.5")

    assert found(tmp_path, "SP015", server(invoke=slow), invocation_seconds=0.8)[0] == FAILED
    assert found(tmp_path, "SP015", server(invoke=slower), invocation_seconds=4.9)[0] == WARNED


@pytest.mark.bad("SP116")
@pytest.mark.good("SP116")
def test_a_worker_that_was_killed_is_found_in_the_log(tmp_path: Path):
    kills = "sys.stderr.write('[CRITICAL] WORKER TIMEOUT (pid:7)\\n'); sys.stderr.flush(); self.answer(200, b'1')"

    assert found(tmp_path, "SP116", server(invoke=kills))[0] == FAILED
    assert found(tmp_path, "SP116", server())[0] == PASSED


PROXY = """daemon off; pid /tmp/n.pid; error_log /dev/stderr; events {}
http { access_log off; server { listen 8080; location / { proxy_pass http://127.0.0.1:9000; TIME } } }
"""
BEHIND = "#!/bin/sh\npython3 /opt/program/main.py & exec nginx -c /opt/program/nginx.conf\n"


@pytest.mark.bad("SP116")
@pytest.mark.good("SP116")
def test_a_proxy_that_gives_up_while_a_worker_is_held_is_found(tmp_path: Path):
    folder(tmp_path, main_py=server(start="port = 9000"), nginx_conf=PROXY.replace("TIME", "proxy_read_timeout 1s;"))
    state, told = found(tmp_path, "SP116", BEHIND, hold=2.5)

    assert state == FAILED
    assert re.match(r"it answered 504 by itself after \d s", told)
    folder(tmp_path, nginx_conf=PROXY.replace("TIME", ""))
    assert found(tmp_path, "SP116", BEHIND, hold=1.0)[0] == PASSED
    assert found(tmp_path, "SP116", server(), hold=60.0)[0] == PASSED  # nothing stands in front of it


FRONT = """#!/usr/bin/env python3
import os, signal, subprocess, time
while True:
    worker = subprocess.Popen(["python3", "/opt/program/main.py"])
    while worker.poll() is None:  # kills what gives no sign of life, as gunicorn does
        time.sleep(0.2)
        if open("/proc/%d/stat" % worker.pid).read().split(") ")[1][0] == "T":
            worker.kill()
"""


@pytest.mark.bad("SP116")
def test_a_worker_that_is_killed_while_it_is_held_is_found(tmp_path: Path):
    folder(tmp_path, main_py=server())

    assert found(tmp_path, "SP116", FRONT, hold=5.0)[1].startswith("1 of 1 workers were killed after")


@pytest.mark.bad("SP020")
def test_a_server_that_takes_small_bodies_only_is_found(tmp_path: Path):
    small = "if len(body) > 1 << 20: return self.answer(413)\n        " + INVOKE
    larger = "if len(body) > 10 << 20: return self.answer(413)\n        " + INVOKE

    assert found(tmp_path, "SP020", server(invoke=small))[0] == FAILED
    assert found(tmp_path, "SP020", server(invoke=larger))[0] == WARNED


@pytest.mark.bad("SP020")
def test_nginx_as_it_comes_takes_one_megabyte_and_breaks_off(tmp_path: Path):
    (tmp_path / "nginx.conf").write_text(
        "daemon off; pid /tmp/n.pid; error_log /dev/stderr; events {}\n"
        "http { access_log off; server { listen 8080; location / { return 200 ok; } } }\n"
    )
    state, told = found(tmp_path, "SP020", "#!/bin/sh\nexec nginx -c /opt/program/nginx.conf\n")

    assert state == FAILED
    assert "6 MB" in told


@pytest.mark.bad("SP025")
@pytest.mark.good("SP025")
def test_an_answer_of_another_type_is_found(tmp_path: Path):
    def asked(kind: str, accept: str) -> str:
        program = server(invoke=f"self.answer(200, b'1', {kind!r})")
        return found(tmp_path, "SP025", program, payload=Payload(b"1", "text/csv", accept))[0]

    assert asked("text/html; charset=utf-8", "") == FAILED
    assert asked("application/json", "text/csv") == FAILED
    assert asked("text/csv", "*/*") == PASSED


@pytest.mark.bad("SP103")
def test_a_server_that_insists_on_accept_is_told(tmp_path: Path):
    picky = "if self.headers.get('Accept') != 'text/csv': return self.answer(406)\n        " + INVOKE

    assert found(tmp_path, "SP103", server(invoke=picky))[0] == WARNED


@pytest.mark.bad("SP115")
def test_a_payload_that_is_not_answered_is_shown_with_the_log(tmp_path: Path):
    fails = "print('the scaler is missing', flush=True); self.answer(500, b'internal error')"
    folder(tmp_path, serve=server(invoke=fails))
    report = prove(tmp_path, "SP115", roles=ROLES)
    evidence = {e.title: e.text for e in report.results[0].findings[0].evidence}

    assert causes(report, "SP115") == "the payload is answered with 500"
    assert evidence["reply"] == "500  text/csv  internal error"
    assert "the scaler is missing" in evidence["log"]


def test_without_a_payload_the_proof_is_incomplete(tmp_path: Path):
    folder(tmp_path, serve=server(invoke="self.answer(400)"))
    report = prove(tmp_path, "SP115", roles=ROLES, payload=None)

    assert (outcome(report, "SP115"), report.exit_code) == (UNCHECKED, 2)
    assert "--payload" in report.results[0].next_step


@pytest.mark.bad("SP101")
def test_a_server_that_fails_for_two_at_once_is_found(tmp_path: Path):
    fragile = (
        "lock = globals().setdefault('lock', threading.Lock())\n"
        "        if not lock.acquire(blocking=False): return self.answer(500, b'busy')\n"
        "        time.sleep(0.05); lock.release()\n        "
    ) + INVOKE

    assert found(tmp_path, "SP101", server(invoke=fragile))[0] == FAILED
    queues = (
        "lock = globals().setdefault('lock', threading.Lock())\n        with lock: time.sleep(0.7)\n        " + INVOKE
    )
    told = (found(tmp_path, "SP101", server(invoke=queues), invocation_seconds=1.7)[1] for _ in range(3))
    assert any(one.endswith("about 3 at once break the 1.7 s") for one in told)  # fewer, on a machine that is busy


@pytest.mark.bad("SP138")
@pytest.mark.good("SP102")
def test_a_disk_that_fills_with_every_request_is_told(tmp_path: Path):
    keeps = "open('/tmp/log', 'ab').write(body * 1000); " + INVOKE
    folder(tmp_path, serve=server(invoke=keeps))
    report = prove(tmp_path, "SP102", "SP138", roles=ROLES)

    assert outcome(report, "SP138") == WARNED
    assert "KiB with each invocation" in causes(report, "SP138")


@pytest.mark.bad("SP102")
def test_memory_that_grows_with_every_request_is_told(tmp_path: Path):
    leaks = "globals().setdefault('kept', []).append(os.urandom(300_000)); self.answer(200, b'1')"

    assert found(tmp_path, "SP102", server(invoke=leaks))[0] == WARNED


STREAM = """self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        parts = [b"data: %d\\n\\n" % n for n in range(4)]
        for part in parts if WHOLE else [b"".join(parts)]:
            time.sleep(0.2 if WHOLE else 0.8)
            self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(part), part)); self.wfile.flush()
        self.wfile.write(b"0\\r\\n\\r\\n")"""


@pytest.mark.bad("SP015")
def test_a_stream_longer_than_an_answer_may_take_is_only_warned_of(tmp_path: Path):
    lasts = STREAM.replace("WHOLE", "True").replace("0.2", "0.3")

    assert found(tmp_path, "SP015", server(invoke=lasts), invocation_seconds=0.8)[0] == WARNED
    assert found(tmp_path, "SP015", server(invoke=lasts), invocation_seconds=0.8, stream_seconds=1.0)[0] == FAILED


LINES = """self.send_response(200)
        self.send_header("Content-Type", "application/jsonlines")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for n in range(3):
            part = b'{"token": %d}END' % n
            self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(part), part))
        self.wfile.write(b"0\\r\\n\\r\\n")"""


@pytest.mark.bad("SP051")
@pytest.mark.good("SP051")
def test_a_stream_that_no_client_can_put_together_is_found(tmp_path: Path):
    state, told = found(tmp_path, "SP051", server(invoke=LINES.replace("END", "")))

    assert state == FAILED
    assert "line 1 of the application/jsonlines answer is no JSON document of its own" in told
    assert found(tmp_path, "SP051", server(invoke=LINES.replace("END", "\\n")))[0] == PASSED


@pytest.mark.bad("SP051")
@pytest.mark.good("SP051")
def test_a_stream_that_comes_in_one_lump_is_found(tmp_path: Path):
    assert found(tmp_path, "SP051", server(invoke=STREAM.replace("WHOLE", "False")))[0] == FAILED
    again = (found(tmp_path, "SP051", server(invoke=STREAM.replace("WHOLE", "True")))[0] for _ in range(3))
    assert PASSED in again  # one lump for who had no processor while the parts came
    assert found(tmp_path, "SP051", server())[0] == NOT_APPLICABLE
