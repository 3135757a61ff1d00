"""The limit: nginx answers 200 with a constant and reads the body only to drop it."""

from __future__ import annotations

from rival import Run

WHAT = "nginx `return 200`"
MODELS = ("echo",)
PAYLOADS = ("csv-row", "json-row")

CONFIG = """
daemon off;
worker_processes {workers};
pid {folder}/pid;
error_log stderr;
events {{ }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    default_type text/csv;
    location / {{ return 200 "0\\n"; }}
  }}
}}
"""


def command(run: Run) -> list[str]:
    """nginx from the machine, with a configuration of its own."""
    path = run.folder / "nginx.conf"
    path.write_text(CONFIG.format(workers=run.workers, folder=run.folder, port=run.port))
    return ["nginx", "-c", str(path)]
