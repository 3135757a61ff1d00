"""Which pages there are: all that is here, one job, one endpoint. They ask what the command line asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from seaproof.api.client import Client
from seaproof.dashboard.endpoint import Traffic, endpoint_page, traffic
from seaproof.dashboard.job import NOUNS, job_page
from seaproof.dashboard.layout import document, is_busy, link, moment, pre, span, state, table
from seaproof.errors import SeaproofError

SHOWN = 50
"""Jobs on the first page; of more, the newest."""
ROUTES: Mapping[str, Callable[[Client, str], str]] = {
    "/_seaproof/pages/job": job_page,
    "/_seaproof/pages/endpoint": endpoint_page,
}


def page(client: Client, path: str, query: str) -> tuple[int, str]:
    """The status and the document at this path, of what this client's server has."""
    try:
        if path == "/":
            return 200, _overview(client)
        name = parse_qs(query).get("name", [""])[-1]
        return 200, ROUTES[path](client, name)
    except KeyError:
        return 404, _problem("There is no such page")
    except SeaproofError as error:
        return 404, _problem(str(error))


def _problem(what: str) -> str:
    return document("Not here", f"<h1>Not here</h1><p>{escape(what)}</p><p><a href='/'>All that is here</a></p>")


def _overview(client: Client) -> str:
    health = client.health()
    name = Path(health["state"]).parent.name
    endpoints = client.pages("ListEndpoints", {}, "Endpoints")
    asked = {"MaxResults": SHOWN + 1, "SortBy": "CreationTime", "SortOrder": "Descending"}
    jobs = [
        {
            "noun": noun,
            "name": job[f"{noun}JobName"],
            "status": job[f"{noun}JobStatus"],
            "created": job["CreationTime"],
            "ended": job.get(f"{noun}EndTime"),
        }
        for noun in NOUNS
        for job in client.call(f"List{noun}Jobs", asked)[f"{noun}JobSummaries"]
    ]
    jobs.sort(key=lambda job: -job["created"])
    busy = any(map(is_busy, [each["EndpointStatus"] for each in endpoints] + [job["status"] for job in jobs]))
    return document(
        f"{name}: seaproof",
        f"<h1>{escape(name)}</h1>",
        f'<p class="soft">The local SageMaker of {escape(str(Path(health["state"]).parent))} at {escape(client.url)}; '
        f"containers run with the {escape(health['driver'])} driver.</p>",
        "<h2>Endpoints</h2>",
        _endpoints(client, endpoints),
        "<h2>Jobs</h2>",
        _jobs(jobs),
        "<h2>Programs written for AWS</h2>",
        "<p>boto3, the AWS CLI and the SageMaker SDKs of a shell talk to this server after</p>",
        pre('eval "$(seaproof env)"'),
        busy=busy,
    )


def _endpoints(client: Client, found: list[dict[str, Any]]) -> str:
    if not found:
        return (
            '<p class="none">No endpoint yet. <code>seaproof serve --detach</code> deploys the model of the last '
            "training job.</p>"
        )
    served = traffic(client)
    rows = []
    for each in found:
        name = str(each["EndpointName"])
        counts = served.get(name, Traffic())
        rows.append(
            (
                link("endpoint", name),
                state(str(each["EndpointStatus"])),
                moment(each["CreationTime"]),
                f"{counts.requests:,}",
                f"{counts.failed:,}",
                counts.mean(),
            )
        )
    return table(rows, ("endpoint", "status", "@created", "#requests", "#failed", "#mean time"))


def _jobs(jobs: list[dict[str, Any]]) -> str:
    if not jobs:
        return '<p class="none">No job yet. <code>seaproof train</code> runs one.</p>'
    rows = [
        (
            link("job", str(job["name"])),
            str(job["noun"]).lower(),
            state(str(job["status"])),
            moment(job["created"]),
            span(job["created"], job["ended"]),
        )
        for job in jobs[:SHOWN]
    ]
    more = '<p class="soft">Older ones: <code>seaproof jobs list</code></p>'
    return table(rows, ("job", "kind", "status", "@created", "#took")) + (more if len(jobs) > SHOWN else "")
