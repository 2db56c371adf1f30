r"""Names and states as typed in a command: parted by commas, quoted or escaped where needed.

``A,B`` are two names. A comma, an equals sign, a quote, a backslash or a space at an end that
belongs to a name is written after a backslash, ``a\,b``, or within double quotes, ``"a,b"``.
"""

from collections.abc import Iterable

SPECIAL = ',="\\'


def parse_names(text: str, option: str) -> tuple[str, ...]:
    """Split ``A,B`` into names.

    Arguments:
        text: what was typed.
        option: where, for messages.

    Raises:
        ModelError: a name is empty, a quote stays open, or an equals sign is not quoted.
    """
    names = []
    for part in _split(text, option):
        if len(part) > 1:
            raise _wrong(text, option, "names only; put a name that contains '=' in double quotes")
        names.append(part[0])
    return tuple(names)


def parse_states(texts: Iterable[str], option: str) -> dict[str, str]:
    """Split ``A=a,B=b`` and its repetitions into states by variable.

    Raises:
        ModelError: as :func:`parse_names`, or something is not of the form name=state, or a
            variable comes twice with different states.
    """
    found: dict[str, str] = {}
    for text in texts:
        for part in _split(text, option):
            if len(part) != 2:
                raise _wrong(text, option, "name=state, such as rain=yes")
            name, state = part
            if found.setdefault(name, state) != state:
                raise _wrong(text, option, f"one state for {name!r}; it has {found[name]!r} too")
    return found


def write_name(name: str) -> str:
    """Write a name so that the parsers above read it back."""
    if name and name.strip() == name and not any(c in name for c in SPECIAL):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _split(text: str, option: str) -> list[list[str]]:
    """Split at commas, and each part at equals signs, outside quotes."""
    parts: list[list[str]] = [[]]
    field = ""
    kept = 0  # length of field up to which spaces were quoted or escaped
    quoted = said = False  # said: in quotes, so that it may be empty
    letters = iter(text)

    def finish() -> str:
        name = field[:kept] + field[kept:].rstrip()
        if not (name or said):
            raise _wrong(text, option, "a name or a state between the commas and equals signs")
        return name

    for letter in letters:
        if letter == "\\":
            letter = next(letters, "")
            if not letter:
                raise _wrong(text, option, "a character after the backslash at its end")
            field += letter
            kept = len(field)
        elif letter == '"':
            quoted, said = not quoted, True
            kept = len(field)
        elif quoted:
            field += letter
            kept = len(field)
        elif letter in ",=":
            parts[-1].append(finish())
            field, kept, said = "", 0, False
            if letter == ",":
                parts.append([])
        elif field or not letter.isspace():
            field += letter
    if quoted:
        raise _wrong(text, option, "a closing double quote")
    parts[-1].append(finish())
    return parts


def _wrong(text: str, option: str, wanted: str) -> Exception:
    from quincunx._errors import ModelError

    return ModelError(f"{option} {text!r}: expected {wanted}")
