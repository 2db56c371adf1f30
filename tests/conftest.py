"""Settings and fixtures of all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The fast profile draws the same examples every time, so that a failure in CI is one anywhere.
# `make test-full` takes the other: more examples, new ones in each run.
settings.register_profile("fast", derandomize=True, max_examples=30, deadline=None)
settings.register_profile("full", max_examples=300, deadline=None, print_blob=True)
settings.load_profile("fast")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of data outside the repository, which QUINCUNX_DATA names; skips without it."""
    name = os.environ.get("QUINCUNX_DATA")
    if not name:
        pytest.skip("QUINCUNX_DATA is not set: it names the folder of data for tests")
    folder = Path(name)
    if not folder.is_dir():
        pytest.skip(f"QUINCUNX_DATA names {name!r}, which is not a folder")
    return folder
