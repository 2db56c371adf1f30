"""The part of a dependency graph around some of its variables, small enough for a picture."""

from quincunx._errors import ModelError
from quincunx.graphs.draw.graph import MOST_VARIABLES
from quincunx.graphs.pdg import PDG
from quincunx.graphs.table import Names, names_of


def neighbourhood(pdg: PDG, names: Names, most: int = MOST_VARIABLES) -> PDG:
    """Cut out the part of a graph around some variables.

    Arcs are taken in the order of their distance from the variables, those at the same distance in
    the order of the graph, each with all its variables, as long as no more than ``most`` come
    together. Arcs between the variables taken are kept, others left out.

    Arguments:
        pdg: the graph.
        names: the variables in the middle, at most ``most``.
        most: how many variables the part may have.

    Returns:
        The part. It is for looking at: what was left out changes answers.

    Raises:
        UnknownNameError: a variable does not exist.
        ModelError: there are more names than ``most``.

    Example:
        >>> a, b, c = (Variable(name, [0, 1]) for name in "ABC")
        >>> even = [[0.5, 0.5], [0.5, 0.5]]
        >>> from quincunx.graphs.draw import neighbourhood
        >>> part = neighbourhood(PDG([Arc(a, b, even), Arc(b, c, even)]), "A", most=2)
        >>> [variable.name for variable in part.variables]
        ['A', 'B']
    """
    taken = dict.fromkeys(pdg.variable(name).name for name in names_of(names))
    if len(taken) > most:
        raise ModelError(f"{len(taken)} variables are in the middle, and {most} is the most")
    scopes = [arc.source_names + arc.target_names for arc in pdg.arcs]
    grown = True
    while grown:
        grown = False
        nearest = [scope for scope in scopes if any(name in taken for name in scope)]
        for scope in nearest:
            fresh = [name for name in scope if name not in taken]
            if fresh and len(taken) + len(fresh) <= most:
                taken |= dict.fromkeys(fresh)
                grown = True
    inside = [all(name in taken for name in scope) for scope in scopes]
    arcs = [arc for arc, kept in zip(pdg.arcs, inside, strict=True) if kept]
    return PDG(arcs, [v for v in pdg.variables if v.name in taken])
