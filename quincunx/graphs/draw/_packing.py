"""Places for things that must not overlap: along a line, and on a page."""

from collections.abc import Sequence

Size = tuple[float, float]
Point = tuple[float, float]

LANDSCAPE = 1.5  # width of a page by its height, about


def spread(
    wishes: Sequence[float], distances: Sequence[float], weights: Sequence[float] | None = None
) -> list[float]:
    """Place things on a line in the order given, as near to their wishes as distances allow.

    Minimises ``sum_i weights_i (x_i - wishes_i)^2`` subject to ``x_{i+1} - x_i >= distances_i``.
    Less the sum of the distances before each, that is regression by a nondecreasing sequence,
    which pooling of neighbours that violate the order solves exactly.

    Arguments:
        wishes: [n].
        distances: [n - 1], >= 0.
        weights: [n], > 0; None: all 1.

    Returns:
        [n], the places.

    Reference:
        R. Barlow, D. Bartholomew, J. Bremner, H. Brunk, "Statistical Inference under Order
        Restrictions", 1972, Section 1.2 (pool adjacent violators).
    """
    offsets = [0.0]
    for distance in distances:
        offsets.append(offsets[-1] + distance)
    pools: list[tuple[float, float, int]] = []  # mean, weight, members
    for i, wish in enumerate(wishes):
        mean, weight, members = wish - offsets[i], weights[i] if weights else 1.0, 1
        while pools and pools[-1][0] > mean:
            other, heavy, more = pools.pop()
            mean = (mean * weight + other * heavy) / (weight + heavy)
            weight, members = weight + heavy, members + more
        pools.append((mean, weight, members))
    means = [mean for mean, _, members in pools for _ in range(members)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=False)]


def shelves(sizes: Sequence[Size], gap: float) -> tuple[list[Point], Size]:
    """Set rectangles in rows, like books on shelves, on a page that is wider than high.

    Arguments:
        sizes: width and height of each.
        gap: the distance between neighbours and between rows.

    Returns:
        The upper left corner of each, measured rightwards and downwards from the page's upper
        left corner, and the size of the page.
    """
    area = sum((w + gap) * (h + gap) for w, h in sizes)
    limit = max([(area * LANDSCAPE) ** 0.5, *(w for w, _ in sizes)])
    corners: list[Point] = []
    x = y = shelf = width = 0.0
    for w, h in sizes:
        if x and x + w > limit:
            x, y, shelf = 0.0, y + shelf + gap, 0.0
        corners.append((x, y))
        x, shelf, width = x + w + gap, max(shelf, h), max(width, x + w)
    return corners, (width, y + shelf)
