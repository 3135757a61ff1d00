"""The pytest plugin: the fixture `sagemaker`, a local SageMaker for the tests of one process.

    def test_my_model(sagemaker):
        endpoint = sagemaker.deploy("model/")        # a folder or a model.tar.gz, served by seaproof-container
        answer = sagemaker.runtime.invoke_endpoint(EndpointName=endpoint, Body=b"1,2", ContentType="text/csv")

pytest imports this module in every run of everybody who has seaproof installed: it imports nothing but pytest, and
all else where the fixture is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from seaproof.testing.local_sagemaker import LocalSageMaker
    from seaproof.testing.server import LocalServer


@pytest.fixture(scope="session")
def sagemaker_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """The server behind `sagemaker`: one for all tests of this process, on a free port, in a folder of its own."""
    try:
        from seaproof.testing.server import LocalServer
    except ImportError as error:
        pytest.fail(f"the fixture `sagemaker` needs more: pip install 'seaproof[testing]' ({error})", pytrace=False)
    with LocalServer(tmp_path_factory.mktemp("sagemaker"), request.config.rootpath) as server:
        yield server


@pytest.fixture
def sagemaker(sagemaker_server: LocalServer, request: pytest.FixtureRequest) -> Iterator[LocalSageMaker]:
    """A local SageMaker: `deploy` a model, boto3 clients as `sagemaker.sagemaker`, `.runtime` and `.client(...)`.

    What a test deploys with it is deleted when the test is over.
    """
    from seaproof.testing.local_sagemaker import LocalSageMaker

    with LocalSageMaker(sagemaker_server, request.node.name) as found:
        yield found
