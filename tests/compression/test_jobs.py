"""Jobs that are stopped, shared, or asked for what cannot be done."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from quincunx._errors import FileFormatError, ModelError
from quincunx.compression import QUIP_SHARP, quantize_model
from quincunx.compression.journal import Journal
from tests.compression.tiny import GRID, tiny, token_ids

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
from tests.compression.tiny import GRID, token_ids
from quincunx.compression import quantize_model
quantize_model(sys.argv[1], GRID, token_ids(), bits=3, output=sys.argv[2])
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """A model of many blocks, and what one thread makes of it."""
    path = tmp_path_factory.mktemp("deep") / "model"
    tiny(num_hidden_layers=6, layer_types=None).save_pretrained(path)
    whole = path.with_name("whole")
    ended = run("-c", SCRIPT, str(path), str(whole))
    assert ended.returncode == 0, ended.stderr
    return path, contents(whole)


def test_a_killed_job_goes_on_and_writes_the_same_bytes(deep, tmp_path):
    model, whole = deep
    out = tmp_path / "out"
    killed = 0
    for blocks in (1, 3, 5):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(model), str(out)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.DEVNULL,
        )
        shard = tmp_path / "out.partial" / f"model-{blocks:05}-of-00007.safetensors"
        until = time.monotonic() + 120
        while not shard.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed and not out.exists()
    assert (tmp_path / "out.partial").is_dir()
    ended = run("-c", SCRIPT, str(model), str(out))
    assert ended.returncode == 0, ended.stderr
    assert contents(out) == whole
    assert not (tmp_path / "out.partial").exists()


def test_two_processes_write_the_same_bytes(deep, tmp_path):
    model, whole = deep
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    ended = run(
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(script), str(model), str(tmp_path / "out"), PYTHONPATH=str(ROOT),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert contents(tmp_path / "out") == whole


def test_experts_too(tmp_path):
    tiny("qwen3_moe").save_pretrained(tmp_path / "model")
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    alone = run("-c", SCRIPT, str(tmp_path / "model"), str(tmp_path / "one"))
    both = run(
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(script), str(tmp_path / "model"), str(tmp_path / "two"), PYTHONPATH=str(ROOT),
    )  # fmt: skip
    assert alone.returncode == both.returncode == 0, alone.stderr + both.stderr[-2000:]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_another_jobs_folder_is_left_alone(folder, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "save_streams", stopped)
    with pytest.raises(KeyboardInterrupt):
        quantize_model(folder, GRID, token_ids(), bits=3, output=out)
    monkeypatch.undo()
    before = contents(tmp_path / "out.partial")
    with pytest.raises(ModelError, match=r"bits was 3\.0, and is 4\.0, seed was 0, and is"):
        quantize_model(folder, GRID, token_ids(), bits=4, output=out, seed=1)
    assert contents(tmp_path / "out.partial") == before
    quantize_model(folder, GRID, token_ids(), bits=3, output=out)
    assert out.is_dir()


def test_a_full_disk_leaves_the_journal_good(folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    quantize_model(folder, GRID, token_ids(), bits=3, output=tmp_path / "whole")
    import quincunx.compression.journal as journal

    written = []

    def full(tensors, path, metadata=None):
        written.append(path)
        real(tensors, path, metadata=metadata)
        if len(written) == 11:  # in the midst of the second block's files
            path.write_bytes(path.read_bytes()[:10])
            raise OSError(28, "No space left on device")

    real = journal.save_file
    monkeypatch.setattr(journal, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        quantize_model(folder, GRID, token_ids(), bits=3, output=out)
    monkeypatch.undo()
    assert not out.exists()
    quantize_model(folder, GRID, token_ids(), bits=3, output=out)
    assert contents(out) == contents(tmp_path / "whole")


def test_an_output_with_content_is_refused(folder, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ModelError, match="not empty; nothing was changed"):
        quantize_model(folder, GRID, token_ids(), output=tmp_path)
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "letter.txt").write_text("dear")
    with pytest.raises(ModelError, match="no journal of ours"):
        quantize_model(folder, GRID, token_ids(), output=tmp_path / "out")


def broken(folder, tmp_path, change):
    path = tmp_path / "broken"
    shutil.copytree(folder, path)
    change(path)
    return path


def no_config(path):
    (path / "config.json").unlink()


def cut(path):
    whole = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def without_a_tensor(path):
    tensors = load_file(path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path / "model.safetensors")


def nan(path):
    tensors = load_file(path / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = float("nan")
    save_file(tensors, path / "model.safetensors")


def other_shape(path):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))


def unknown_family(path):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (no_config, FileFormatError, "no model folder"),
        (cut, FileFormatError, "cannot be read"),
        (without_a_tensor, FileFormatError, "no tensor model.layers.1.mlp.up_proj.weight"),
        (nan, ModelError, "up_proj has 1 weights that are NaN"),
        (other_shape, FileFormatError, "config.json asks for"),
        (unknown_family, ModelError, "'bert' are not in the table"),
    ],
)
def test_what_is_no_good_model_is_refused(folder, tmp_path, change, error, words):
    path = broken(folder, tmp_path, change)
    with pytest.raises(error, match=words):
        quantize_model(path, GRID, token_ids(), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_arguments_are_checked(folder, compressed, tmp_path):
    with pytest.raises(ModelError, match="needs output"):
        quantize_model(folder, GRID, token_ids())
    with pytest.raises(ModelError, match="changed in place"):
        quantize_model(tiny(), GRID, token_ids(), output=tmp_path / "out")
    with pytest.raises(ModelError, match="quantized already"):
        quantize_model(compressed, GRID, token_ids(), output=tmp_path / "out")
    with pytest.raises(ModelError, match="has 2 to 4"):
        quantize_model(folder, QUIP_SHARP, token_ids(), bits=5, output=tmp_path / "out")
    with pytest.raises(ModelError, match="no recipe 'awq'"):
        quantize_model(folder, "awq", token_ids(), output=tmp_path / "out")
    with pytest.raises(ModelError, match="of the blocks' weights would be rounded"):
        quantize_model(tiny(), GRID, token_ids(), skip=["*.down_proj"])
    with pytest.raises(ModelError, match="nothing would be rounded"):
        quantize_model(tiny(), GRID, token_ids(), include=["no_such"])
    with pytest.raises(ModelError, match="token ids have shape"):
        quantize_model(tiny(), GRID, torch.zeros(3))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        quantize_model(tmp_path / "nowhere", GRID, token_ids(), output=tmp_path / "out")


def test_skipped_layers_stay(tmp_path):
    model = tiny()
    before = model.model.layers[0].mlp.down_proj.weight.clone()
    report = quantize_model(model, GRID, token_ids(), skip=["down_proj"], partial=True)
    assert torch.equal(model.model.layers[0].mlp.down_proj.weight, before)
    assert len(report.layers) == 2 * 6 and sum("down_proj" in name for name in report.kept) == 2


def test_fractions_of_bits_are_shared_out():
    report = quantize_model(tiny(), GRID, token_ids(), bits=2.5)
    used = {layer.bits for layer in report.layers}
    mean = sum(layer.bits * layer.weights for layer in report.layers) / report.weights
    assert len(used) > 1 and 2.3 < mean <= 2.5
