"""Make the pictures of docs/pictures.md anew, by running the page's own examples.

Run from anywhere: python tools/make_pictures.py
"""

import contextlib
import re
import tempfile
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "pictures.md"
MOST_BYTES = 60_000  # of a picture, as it stays in the repository for good


def main() -> None:
    """Run the examples in a folder of their own, and keep what the page shows."""
    text = PAGE.read_text()
    shown = re.findall(r"\]\((pictures/[\w-]+\.svg)\)", text)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        names: dict[str, object] = {}
        for block in re.findall(r"(?<=^```python\n).*?(?=^```$)", text, re.DOTALL | re.MULTILINE):
            exec(compile(block, str(PAGE), "exec"), names)
        made = {name: Path(Path(name).name).read_bytes() for name in shown}
    for name, content in made.items():
        if len(content) > MOST_BYTES:
            raise SystemExit(f"{name} has {len(content):,} bytes; {MOST_BYTES:,} is the most")
        path = DOCS / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        print(f"docs/{name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
