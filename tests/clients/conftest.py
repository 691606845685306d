"""The clients are built once, and run as programs of their own."""

from pathlib import Path

import pytest

from tests.clients.building import build, lay_out
from tests.clients.running import Clients
from tests.seed import Service


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built clients."""
    folder = lay_out(tmp_path_factory.mktemp("clients"))
    build(folder)
    return folder


@pytest.fixture
def clients(built: Path, service: Service) -> Clients:
    return Clients(built, service)
