"""A local server as a process, with boto3 in front and, behind it, a container that does what its requests say."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from seaproof.api.client import Client, find

ROLE = "arn:aws:iam::000000000000:role/any"
SERVE = Path(__file__).with_name("obedient_container.py")
_NUMBERS = itertools.count()


class Lab:
    """One project folder with its coordinator."""

    def __init__(self, root: Path, settings: dict[str, Any], driver: str = "process", image: str = "obedient") -> None:
        self.root = root
        self.driver = driver
        self.image = image
        image = root / "obedient"
        image.mkdir(parents=True)
        (image / "serve").write_text(f"#!{sys.executable}\n{SERVE.read_text()}")
        (image / "serve").chmod(0o755)
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        (root / "seaproof.toml").write_text(
            '[images.obedient]\nfolder = "obedient"\naccept_bind_to_port = true\n\n[settings]\n' + "\n".join(lines)
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.client: Client | None = None
        self.clients: dict[tuple[Any, ...], Any] = {}

    def start(self) -> None:
        """Start the coordinator, on a free port."""
        command = [sys.executable, "-m", "seaproof.cli", "up", "--foreground", "--driver", self.driver, "--port", "0"]
        log = (self.root / "log").open("ab")
        self.process = subprocess.Popen([*command, "--project", str(self.root)], stdout=log, stderr=log)
        log.close()

        def found() -> Client | None:
            assert self.process.poll() is None, (self.root / "log").read_text()
            return find(self.root / ".seaproof")

        self.client = until(found)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self.client.close()

    def stop(self) -> None:
        """End it as a user does."""
        self.client.close()
        for client in self.clients.values():
            client.close()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, (self.root / "log").read_text()

    def aws(self, service: str, **config: Any) -> Any:
        """A boto3 client of it, which does not repeat what failed; to make one takes long, so that it is kept."""
        key = (service, self.client.url, *config.items())
        if key not in self.clients:
            self.clients[key] = boto3.client(
                service,
                endpoint_url=self.client.url,
                region_name="us-east-1",
                aws_access_key_id="any",
                aws_secret_access_key="any",
                config=Config(retries={"max_attempts": 1}, **config),
            )
        return self.clients[key]

    def file(self, uri: str) -> Path:
        """Where an s3:// address lies on disk."""
        return self.root / ".seaproof" / "s3" / uri.removeprefix("s3://")

    def config(self, *variants: dict[str, Any], shadow: dict[str, Any] | None = None, **more: Any) -> str:
        """An endpoint configuration whose variants run the container; `name` and further members of each."""
        name = f"config-{next(_NUMBERS)}"
        sagemaker = self.aws("sagemaker")

        def variant(given: dict[str, Any], number: int) -> dict[str, Any]:
            model = f"{name}-{number}"
            environment = {"NAME": given.get("VariantName", "AllTraffic"), **given.get("Environment", {})}
            sagemaker.create_model(
                ModelName=model,
                ExecutionRoleArn=ROLE,
                PrimaryContainer={"Image": self.image, "Environment": environment},
            )
            members = {key: value for key, value in given.items() if key != "Environment"}
            hardware = {} if "ServerlessConfig" in given else {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
            return {"VariantName": "AllTraffic", "ModelName": model, **hardware, **members}

        if shadow:
            more["ShadowProductionVariants"] = [variant(shadow, 99)]
        sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[variant(given, number) for number, given in enumerate(variants or ({},))],
            **more,
        )
        return name

    def deploy(self, *variants: dict[str, Any], **more: Any) -> str:
        """The name of an endpoint in service."""
        config = self.config(*variants, **more)
        name = config.replace("config", "endpoint")
        self.aws("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=config)
        self.settle(name)
        return name

    def settle(self, name: str) -> dict[str, Any]:
        """The description of the endpoint, once it is in service."""
        sagemaker = self.aws("sagemaker")
        until(lambda: sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] not in ("Creating", "Updating"))
        found: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=name)
        assert found["EndpointStatus"] == "InService", found
        return found


@contextlib.contextmanager
def a_lab(root: Path, driver: str = "process", image: str = "obedient", **settings: Any) -> Iterator[Lab]:
    """A lab that is started, and ended however its user leaves it."""
    lab = Lab(root, {"stop_endpoint_grace": 2.0, "ping_interval": 0.2, **settings}, driver, image)
    lab.start()
    try:
        yield lab
    finally:
        lab.stop()


def until(condition: Callable[[], Any], seconds: float = 40.0) -> Any:
    """What the condition gives, once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def order(**what: Any) -> bytes:
    """The body of a request that tells the container what to do."""
    return json.dumps(what).encode()
