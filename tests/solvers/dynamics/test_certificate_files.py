"""Certificates as files: they are proved again from the file alone, or refused."""

import copy
import hashlib
import json
from fractions import Fraction

import numpy as np
import pytest

from quincunx._errors import FileFormatError, ModelError
from quincunx.solvers.dynamics.certify.certificate import Certificate
from quincunx.solvers.dynamics.certify.cycle import certify
from quincunx.solvers.dynamics.certify.verify import verify
from quincunx.solvers.dynamics.logistic import Logistic

PLANE = Logistic(
    [[1, 0], [-1, 0], [0, 1], [0, -1], [300, 30], [-300, 30]], [500, 500, 600, 400, 1, 1]
)


@pytest.fixture(scope="module")
def line() -> Certificate:
    problem = Logistic(["1", "-0.892", "300"])
    return certify(problem, "8.0458", [[0.9242], [0.0231]], start=["0.9"])


@pytest.fixture(scope="module")
def flat() -> Certificate:
    cycle = [[0.925632, 0.532217], [-0.925632, 0.532217]]
    return certify(PLANE, "7.18", cycle, start=["0.6", "0.45"])


def signed(entries: dict) -> dict:
    """Entries with a checksum that fits, as one who forges a certificate would make it."""
    kept = {name: value for name, value in entries.items() if name != "sha256"}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    return {**kept, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def places(value, path=()):
    """Paths to every number of a tree."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from places(inner, (*path, i))
    elif path[-1] not in ("format", "reason", "sha256", "version"):
        yield path


def changed(entries: dict, path: tuple, change) -> dict:
    entries = copy.deepcopy(entries)
    inner = entries
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = change(inner[path[-1]])
    return entries


def test_a_saved_certificate_is_proved_again(line, flat, tmp_path):
    for proof in (line, flat):
        assert proof.valid and proof.arrival.steps > 0
        proof.save(tmp_path / "proof.json")
        again = verify(tmp_path / "proof.json")
        assert again == proof and again.valid and str(again) == str(proof)
        assert verify(json.loads((tmp_path / "proof.json").read_text())) == proof
    assert [file.name for file in tmp_path.iterdir()] == ["proof.json"]


def test_a_certificate_survives_json(flat):
    assert Certificate.from_json(json.loads(json.dumps(flat.to_json()))) == flat


def test_every_changed_number_breaks_the_checksum(flat):
    entries = flat.to_json()
    for path in places(entries):
        other = changed(
            entries, path, lambda v: str(Fraction(v) * 2 + 7) if isinstance(v, str) else not v
        )
        with pytest.raises(FileFormatError):
            verify(other)


@pytest.mark.parametrize("name", ["line", "flat"])
def test_forged_numbers_do_not_hold(name, request):
    """With a checksum that fits, and a change by little, up and down, of everything proved."""
    entries = request.getfixturevalue(name).to_json()
    tried = 0
    for path in places(entries):
        if path[0] in ("bits", "seconds", "stable", "period") or path[-2:] == ("arrival", "steps"):
            continue  # not proved, or below
        if path[0] == "arrival" or path[:2] == ("attraction", "frame"):
            continue  # other true theorems, as starts and ellipsoids near by do as well
        if path[:2] == ("attraction", "radius"):
            factors: tuple[str, ...] = ("100",)
        elif path[:2] == ("attraction", "kappa"):
            factors = ("0.9",)
        else:
            factors = ("1.00000001", "0.99999999")
        for factor in factors:
            old = entries
            for key in path:
                old = old[key]
            if not Fraction(old):
                continue
            if path[:2] == ("minimizer", 0) and name == "flat":
                continue  # exactly 0, well within 3e-48 on both sides
            # An end that moves outwards leaves a true claim of an enclosure, but not where the
            # claim is that the boxes have one cycle only, and balances have to be exact.
            new = Fraction(old) * Fraction(factor)
            if outwards(path, Fraction(old), new) and path[0] != "cycle":
                continue
            forged = signed(changed(entries, path, lambda _, new=new: str(new)))
            with pytest.raises((ModelError, FileFormatError)):
                verify(forged)
            tried += 1
    assert tried > 25


def outwards(path: tuple, old: Fraction, new: Fraction) -> bool:
    if path[0] not in ("minimizer", "sharpness", "gamma", "cycle", "multipliers"):
        return False
    return new < old if path[-1] == 0 else new > old


@pytest.mark.parametrize("name", ["line", "flat"])
def test_forged_statements_do_not_hold(name, request):
    entries = request.getfixturevalue(name).to_json()
    forgeries = [
        changed(entries, ("stable",), lambda v: False),
        changed(entries, ("arrival", "steps"), lambda v: v - 1),
        changed(entries, ("period",), lambda v: v * 2),
        changed({**entries, "period": 4}, ("cycle",), lambda v: v + v),
        changed({**entries, "period": 1}, ("cycle",), lambda v: v[:1]),
        changed(entries, ("cycle",), lambda v: [entries["minimizer"]] * 2),
        changed(entries, ("balance", 0), lambda v: "-" + v),
        changed(entries, ("balance",), lambda v: []),
        changed(entries, ("cycle",), lambda v: []),
        {**entries, "cycle": [], "multipliers": [], "attraction": None, "arrival": None},
        changed(entries, ("multipliers",), lambda v: v[:-1] or v * 2),
        changed(entries, ("attraction", "kappa"), lambda v: "1"),
        changed(entries, ("attraction", "radius"), lambda v: "1000"),
        changed(entries, ("attraction", "radius"), lambda v: "-1"),
        changed(entries, ("attraction", "frame"), lambda v: [["0"] * len(v)] * len(v)),
        changed(entries, ("attraction",), lambda v: None),
        changed(entries, ("minimizer",), lambda v: []),
        changed(entries, ("gamma",), lambda v: None),
        changed(entries, ("basis",), lambda v: [entries["points"][0]]),
        changed(entries, ("points", 0), lambda v: ["0"] * len(v)),
        changed(entries, ("multiplicities", 0), lambda v: "-" + v),
        changed(entries, ("step",), lambda v: "-1"),
        changed(entries, ("step",), lambda v: "nan"),
        changed(entries, ("bits",), lambda v: 10**9),
        changed(entries, ("bits",), lambda v: "160"),
    ]
    for forged in forgeries:
        with pytest.raises((ModelError, FileFormatError)):
            verify(signed(forged))


def test_a_wide_box_has_no_unique_cycle(line):
    """True as an enclosure; but it also holds other cycles."""
    entries = line.to_json()
    wide = changed(
        entries,
        ("cycle",),
        lambda v: [
            [[str(Fraction(a) - Fraction("0.01")), str(Fraction(b) + Fraction("0.01"))]]
            for ((a, b),) in v
        ],
    )
    with pytest.raises(ModelError, match="more than one cycle"):
        verify(signed(wide))


def test_an_unstable_cycle_cannot_be_forged_to_be_stable():
    proof = certify(Logistic([1, -1], [4, 1]), 14, [[1.386]])
    assert verify(proof).stable is False
    with pytest.raises(ModelError, match="stability"):
        verify(signed({**proof.to_json(), "stable": True}))


def test_foreign_files_are_refused(tmp_path, line):
    file = tmp_path / "a.json"
    for text in ("", "{", "[]", "3", "null", '{"format": "x"}', "[" * 100_000):
        file.write_text(text)
        with pytest.raises(FileFormatError, match=r"a\.json"):
            verify(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError):
        verify(file)
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "none.json")
    entries = line.to_json()
    with pytest.raises(FileFormatError, match="version"):
        verify(signed({**entries, "version": 2}))
    for name in entries:
        if name in ("format", "version", "sha256"):
            continue
        less = {key: value for key, value in entries.items() if key != name}
        for forged in (less, {**entries, name: {"a": 1}}, {**entries, name: [[[[None]]]]}):
            with pytest.raises((FileFormatError, ModelError)):
                verify(signed(forged))


def test_a_file_stays_whole_if_writing_fails(line, tmp_path, monkeypatch):
    file = tmp_path / "proof.json"
    line.save(file)
    before = file.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        line.save(file)
    assert file.read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == ["proof.json"]


def test_floats_never_stand_for_exact_numbers(flat):
    """Every exact number of the file is a string, so that no reader rounds it."""
    for path in places(flat.to_json()):
        value = flat.to_json()
        for key in path:
            value = value[key]
        assert (
            isinstance(value, str)
            or path[0] in ("period", "stable", "bits", "seconds")
            or (path == ("arrival", "steps"))
        )
    assert np.isfinite(flat.seconds)
