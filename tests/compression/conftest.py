"""A tiny model in a folder, and the same compressed: made once."""

import pytest

from quincunx.compression import quantize_model
from tests.compression.tiny import GRID, tiny, token_ids


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny") / "model"
    tiny().save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def compressed(folder):
    out = folder.with_name("compressed")
    quantize_model(folder, GRID, token_ids(), bits=4, output=out)
    return out
