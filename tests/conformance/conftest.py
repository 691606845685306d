"""The program of a reader runs from its first question to the end of the tests."""

from collections.abc import Iterator

import pytest

from tests.conformance.readers import ICAL_JS


@pytest.fixture(scope="session", autouse=True)
def programs() -> Iterator[None]:
    yield
    ICAL_JS.end()
