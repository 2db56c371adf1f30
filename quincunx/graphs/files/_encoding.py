"""Bytes of a file as text, or what they are where they are no UTF-8."""

from pathlib import Path

from quincunx._errors import FileFormatError

_AS_CSV = "open it in the spreadsheet program and save the sheet as CSV, in UTF-8"
_KINDS = {
    b"PK\x03\x04": f"packed by zip, as workbooks (.xlsx, .ods) are; if it is one, {_AS_CSV}",
    b"\xd0\xcf\x11\xe0": f"an old workbook (.xls); {_AS_CSV}",
}
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")


def decoded(data: bytes, file: Path) -> str:
    """Decode UTF-8; a mark of byte order at the front is left out.

    Arguments:
        data: the content.
        file: its name, for messages.

    Raises:
        FileFormatError: it is not UTF-8; the message says what it is, as far as can be told, and
            what to do.
    """
    for mark, kind in _KINDS.items():
        if data.startswith(mark):
            raise FileFormatError(f"{file} is {kind}")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        # Text in UTF-16 has a zero byte beside each plain letter, and text in UTF-8 has none.
        raise FileFormatError(
            f"{file} is not UTF-8 but probably UTF-16, which some programs call Unicode; save it "
            f"as UTF-8, or convert it: iconv -f utf-16 -t utf-8 {file.name}"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileFormatError(
            f"{file}, line {line}: the text is not UTF-8 (byte 0x{data[error.start]:02x}); if it "
            f"is Latin-1, convert it: iconv -f latin1 -t utf-8 {file.name}"
        ) from None


def workbook_remedy(file: Path) -> str:
    """Return what to do with a file that is named as a workbook, '' for others."""
    return f"; {_AS_CSV}" if file.suffix.lower() in WORKBOOKS else ""
