"""A CI workflow that ships: a plan for every pull request, shipped when the main branch moves. For GitHub Actions."""

from __future__ import annotations

from typing import Any

from seaproof import __version__

ROLE = "${{ vars.AWS_ROLE_TO_SHIP }}"


def workflow(stage: str, region: str, branch: str = "main") -> dict[str, Any]:
    """The workflow as data. AWS is reached through OIDC, by the role in the variable AWS_ROLE_TO_SHIP."""
    chosen = f" --stage {stage}" if stage else ""

    def steps(*commands: tuple[str, str]) -> list[dict[str, Any]]:
        credentials = {"role-to-assume": ROLE, "aws-region": region}
        return [
            {"uses": "actions/checkout@v4"},
            {"uses": "actions/setup-python@v5", "with": {"python-version": "3.12"}},
            {"name": "Install seaproof", "run": f"pip install 'seaproof[local,aws]=={__version__}'"},
            {"name": "Sign in to AWS", "uses": "aws-actions/configure-aws-credentials@v4", "with": credentials},
            *({"name": name, "run": command} for name, command in commands),
        ]

    plan = f"seaproof plan --target aws{chosen} --cost"
    return {
        "name": f"Ship {stage}" if stage else "Ship",
        "on": {"pull_request": {}, "push": {"branches": [branch]}, "workflow_dispatch": {}},
        "permissions": {"contents": "read", "id-token": "write"},
        "concurrency": {"group": f"ship-{stage or 'default'}", "cancel-in-progress": False},
        "jobs": {
            "plan": {
                "if": "github.event_name == 'pull_request'",
                "runs-on": "ubuntu-latest",
                "steps": steps(("What would change, and what it costs", plan)),
            },
            "ship": {
                "if": "github.event_name != 'pull_request'",
                "runs-on": "ubuntu-latest",
                **({"environment": stage} if stage else {}),
                "steps": steps(("Ship", f"seaproof ship --target aws{chosen} --retry 3")),
            },
        },
    }
