"""The engine that is there always passes the contract."""

from __future__ import annotations

import pytest

from seaproof.batch.engine import Engine, ThreadEngine
from seaproof.testing.engine_contract import EngineContract


class TestThreads(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return ThreadEngine()
