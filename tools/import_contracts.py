"""A contract for import-linter: what one room of the package may import, as a row of a table.

The contracts that come with import-linter forbid named imports and fail on a module that does not
exist yet. This one lists what is allowed, so that a new dependency has to be written down, and a
room that is still planned keeps its row.
"""

import sys
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


def inside(module: str, package: str) -> bool:
    """Whether a module is the package or lies in it."""
    return module == package or module.startswith(package + ".")


class RoomContract(Contract):
    """One room's imports.

    Options:
        room: the module or package, such as quincunx.graphs.
        may_import: rooms of ours and third-party libraries. The room's own modules and the standard
            library are always allowed.
        only_in: exceptions, each "file -> module": that file or folder alone imports the module, a
            library inside a function.
    """

    type_name = "room"

    room: Any = fields.StringField()
    may_import: Any = fields.SetField(subfield=fields.StringField())
    only_in: Any = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find the imports of the room that its row does not allow."""
        exceptions = [entry.split(" -> ") for entry in self.only_in or ()]
        forbidden = [
            (importer, imported)
            for importer in graph.modules
            if inside(importer, self.room)
            for imported in graph.find_modules_directly_imported_by(importer)
            if not inside(imported, self.room)
            and imported not in sys.stdlib_module_names
            and not any(inside(imported, allowed) for allowed in self.may_import)
            and not any(inside(importer, file) and imported == name for file, name in exceptions)
        ]
        lines = [
            f"{importer}:{details['line_number']} imports {imported}"
            for importer, imported in sorted(forbidden)
            for details in graph.get_import_details(importer=importer, imported=imported)
        ]
        return ContractCheck(kept=not lines, metadata={"lines": lines})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the imports found and where the table is."""
        for line in check.metadata["lines"]:
            output.print_error(f"- {line}", bold=False)
        output.new_line()
        output.print(f"{self.room} may import {', '.join(sorted(self.may_import)) or 'nothing'}.")
        output.print("Who may import whom is explained in docs/architecture.md.")
        output.new_line()
