"""Data sets in CSV files."""

from fractions import Fraction

import pytest

from quincunx._errors import FileFormatError, ModelError
from quincunx.solvers.dynamics import Logistic, read_points, write_points


def written(tmp_path, text):
    path = tmp_path / "data.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_rows_of_numbers(tmp_path):
    problem = read_points(written(tmp_path, "1, -0.5\n\n# a remark\n-1/3,2e-3\n"))
    assert problem.exact.points == ((1, Fraction(-1, 2)), (Fraction(-1, 3), Fraction(1, 500)))
    assert problem.exact.weights == (1, 1)


def test_labels_and_counts_by_name(tmp_path):
    text = "x1,y,x2,Count\n1,1,2,3\n4,0,5,6\n7,-1,8,9\n"
    problem = read_points(written(tmp_path, text), l2="0.1")
    assert problem.exact.points == ((1, 2), (-4, -5), (-7, -8))
    assert problem.exact.weights == (3, 6, 9)
    assert problem.exact.l2 == Fraction(1, 10)


def test_what_is_written_is_read(tmp_path):
    problem = Logistic([[1, "-0.7179"], ["1/3", 300]], ["1/7", 2])
    write_points(tmp_path / "data.csv", problem)
    assert read_points(tmp_path / "data.csv").exact == problem.exact


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows"),
        ("# nothing\n", "no rows"),
        ("1,2\n3\n", "line 2: 1 cells, where 2"),
        ("z,count\n1,2\nx,3\n", "line 3: a cell is 'x'"),
        ("z\n1\nnan\n", "line 3: a cell is 'nan'"),
        ("z,y\n1,2\n", "line 2: label 2"),
        (b"\xff\xfe1\n", "no CSV file"),
    ],
)
def test_bad_files_are_refused_with_their_line(tmp_path, text, message):
    with pytest.raises(FileFormatError, match=message):
        read_points(written(tmp_path, text))


def test_a_header_alone_has_no_points(tmp_path):
    with pytest.raises(ModelError, match="no points"):
        read_points(written(tmp_path, "z1,z2\n"))
