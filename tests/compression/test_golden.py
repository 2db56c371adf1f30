"""Folders written when their format was frozen are read as they were meant."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import quincunx
from quincunx.compression.packed import FORMAT_VERSION
from tests.compression.tiny import token_ids
from tools.make_golden import CASES, points

GOLDEN = Path(__file__).parent / "golden"
FOLDERS = sorted(path.parent for path in GOLDEN.glob("v*/*/config.json"))


def test_every_case_of_this_format_is_there():
    there = {path.name for path in FOLDERS if path.parent.name == f"v{FORMAT_VERSION}"}
    assert there == set(CASES)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_it_is_read_as_it_was_meant(folder):
    model, _ = quincunx.load(folder)
    known = json.loads((folder / "points.json").read_text())
    # What codes stand for, to the bit; mixtures keep their experts elsewhere.
    assert points(model) == known and len(known) >= 4
    with torch.no_grad():
        logits = model(token_ids(1, 12, seed=7)).logits
    expected = load_file(folder / "expected.safetensors")["logits"]
    # The same arithmetic in another order on other machines; measured below 1e-5 of the largest.
    assert (logits - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_folders_are_as_they_were_committed():
    """A change of format makes new folders; these stay."""
    digests = [
        hashlib.sha256(file.read_bytes()).hexdigest()
        for folder in FOLDERS
        if folder.parent.name == "v1"
        for file in sorted(folder.glob("*.safetensors"))
    ]
    assert hashlib.sha256("".join(digests).encode()).hexdigest() == FIRST


FIRST = "8a6f571307738b3ad6f43561b6fdcdc7fccdf77f53647b01375c208b22d64b2b"
