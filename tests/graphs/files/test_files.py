"""Opening files: endings, compression, encodings, and no half-written file."""

import gzip
import os
import stat

import pytest

import quincunx
from quincunx import PDG, Arc, BayesianNetwork, Variable
from quincunx._atomic import atomic_write
from quincunx._errors import FileFormatError, ModelError
from tests.graphs.files.models import same

A = Variable("a", ["no", "yes"])
NETWORK = BayesianNetwork([Arc([], A, [0.25, 0.75])])


@pytest.mark.parametrize("name", ["m.json", "m.JSON.gz", "m.bif", "m.bif.gz", "m.csv", "m.csv.gz"])
def test_every_ending(tmp_path, name):
    model = NETWORK.to_pdg() if ".csv" in name else NETWORK
    quincunx.write(model, tmp_path / name)
    assert same(quincunx.read(str(tmp_path / name)), model)
    assert (tmp_path / name).read_bytes().startswith(b"\x1f\x8b") == name.endswith(".gz")


def test_compressed_files_are_the_same_each_time(tmp_path):
    for name in ("1.bif.gz", "2.bif.gz"):
        quincunx.write(NETWORK, tmp_path / name)
    assert (tmp_path / "1.bif.gz").read_bytes() == (tmp_path / "2.bif.gz").read_bytes()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("m.xml", b"x", ".bif, .uai, .json, .csv"),
        ("m.gz", b"x", "unknown kind"),
        ("m.bif", b"", "is empty"),
        ("m.uai", b" \n", "is empty"),
        ("m.csv.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("m.bif", "network x {\n}\nvariable é {".encode("latin-1"), "line 3"),
        ("m.bif", "é".encode("latin-1"), "Latin-1"),
        ("m.csv", "event,probability\na=1,1\n".encode("utf-16"), "iconv -f utf-16"),
        ("m.csv", "event,probability\na=1,1\n".encode("utf-16-be"), "iconv -f utf-16"),
        ("m.csv", b"PK\x03\x04\x14\0\0\0", "(.xlsx, .ods) are; if it is one, open it"),
        ("m.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "save the sheet as CSV, in UTF-8"),
        ("m.xlsx", b"PK\x03\x04", "save the sheet as CSV, in UTF-8"),
        ("m.ods", b"PK\x03\x04", "save the sheet as CSV, in UTF-8"),
        ("m.bif.gz", gzip.compress(b"network x { }" * 99, mtime=0)[:-9], "damaged"),
        ("m.bif.gz", gzip.compress(b"network x { }", mtime=0)[:9], "damaged"),
        ("m.bif.gz", b"network x { }", "not compressed"),
    ],
)
def test_bad_files(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FileFormatError) as caught:
        quincunx.read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert words in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.bif"):
        quincunx.read(tmp_path / "none.bif")
    (tmp_path / "folder.bif").mkdir()
    with pytest.raises(FileFormatError, match="is a folder"):
        quincunx.read(tmp_path / "folder.bif")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        quincunx.write(NETWORK, tmp_path / "folder.bif")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        quincunx.write(NETWORK, tmp_path / "none" / "m.bif")


def test_a_mark_of_byte_order_is_skipped(tmp_path):
    (tmp_path / "m.csv").write_bytes("event,probability\na=1,1\n".encode("utf-8-sig"))
    assert quincunx.read(tmp_path / "m.csv").variables[0].name == "a"


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.bif"
    quincunx.write(NETWORK, path)
    old = path.read_bytes()
    with pytest.raises(ModelError):
        quincunx.write(PDG([], [A]), path)
    with pytest.raises(ModelError, match="UTF-8"):
        quincunx.write(PDG([], [Variable("\ud800", ["a"])]), tmp_path / "m.json")
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["m.bif"]


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_an_exception_leaves_nothing(tmp_path, mode):
    path = tmp_path / "file"
    content = b"half" if mode == "wb" else "half"
    with pytest.raises(KeyboardInterrupt), atomic_write(path, mode) as file:
        file.write(content)
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_text_is_written_as_given(tmp_path):
    with atomic_write(tmp_path / "file") as file:
        file.write("é\r\n\n")
    assert (tmp_path / "file").read_bytes() == "é\r\n\n".encode()


@pytest.mark.skipif(os.name != "posix", reason="permissions and links as POSIX has them")
def test_permissions_and_links_stay(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    with atomic_write(link) as file:
        file.write("new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
