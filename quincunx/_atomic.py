"""Files that are whole or not there: written aside under a temporary name, then renamed."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Open a file that takes its name only if the block ends without an exception.

    The data go to a temporary file in the same folder, are flushed to disk, and the file is then
    renamed, which replaces an older file in one step and keeps its permissions. After an exception
    the temporary file is removed and an older file is as it was.

    Arguments:
        path: where the file shall be; a symbolic link is followed.
        mode: ``"w"`` for text (UTF-8, newlines as written), ``"wb"`` for bytes.

    Returns:
        A context manager that gives the open file.

    Raises:
        FileNotFoundError: the folder does not exist.
        IsADirectoryError: the path is a folder.
    """
    final = Path(os.path.realpath(path))
    if final.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file")
    if not final.parent.is_dir():
        raise FileNotFoundError(f"the folder {final.parent} does not exist; make it first")
    aside = final.with_name(f".{final.name[:100]}.{secrets.token_hex(8)}.tmp")
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        # "x" makes the file with the user's usual permissions, unlike the tempfile module.
        with open(aside, mode.replace("w", "x"), **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if final.exists():
            shutil.copymode(final, aside)
        os.replace(aside, final)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
