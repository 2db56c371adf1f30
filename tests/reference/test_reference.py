"""The shipped language model, and texts that every machine has."""

import json

import pytest

from quincunx._errors import QuincunxError
from quincunx.reference import docstrings, folder_of, path, standard_library, topics


def test_the_model_is_small_and_says_how_it_was_made():
    size = sum(file.stat().st_size for file in path().iterdir())
    assert size <= 12 * 2**20
    card = json.loads((path() / "training.json").read_text())
    assert card["held-out perplexity"] < 25 and len(card["corpus"]["sha256"]) == 64


def test_it_predicts_what_its_card_says():
    pytest.importorskip("transformers")
    from quincunx.compression.evaluate import evaluate
    from quincunx.compression.huggingface.text import calibration
    from quincunx.reference import language_model

    model, tokenizer = language_model()
    ids = calibration(topics(), tokenizer, samples=16, context=256).ids
    found = evaluate(model, ids).perplexity
    card = json.loads((path() / "training.json").read_text())["held-out perplexity"]
    assert found == pytest.approx(card, rel=0.25)  # 16 sequences of many, another Python's topics


def test_documentation_is_prose():
    text = "\n".join(docstrings([folder_of("json")]))
    assert "JSON" in text and ">>>" not in text
    assert standard_library().joinpath("json").is_dir()
    assert sum(len(topic) for topic in topics()) > 100_000
    with pytest.raises(QuincunxError, match="not installed"):
        folder_of("no_such_package")
