"""What a rounding returns: points, their codes and what they cost."""

from dataclasses import dataclass

from quincunx._types import Array, Codebook, Solution


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Rounding(Solution):
    """Weights replaced by points of a codebook.

    Attributes:
        values: [m, n], the rounded weights, in the library, type and place of the weights.
        codes: their codes, [m / r, n / c] for a codebook of tiles [r, c], or [m / r, n / c, k]
            where a tile has k > 1 codes; sides that the tile does not divide are padded.
        proxy_loss: ``tr(E H E')`` with ``E = values - weights``, for the Hessian as it was given
            (QuIP, equation 1), to about 1e-5 of itself in float32. As a fraction: divide by
            ``proxy_loss(W, H)``.
        codebook: the codebook with the scale that was used; its ``decode`` makes values of codes.
        damping: what was added to the Hessian's diagonal for the feedback, in its units.
        jitter: the fraction of each diagonal entry that was added besides, because the Hessian is
            singular; mostly 0.
    """

    values: Array
    codes: Array
    proxy_loss: float
    codebook: Codebook
    damping: float = 0.0
    jitter: float = 0.0

    def __repr__(self) -> str:
        """Show sizes and losses, not weights."""
        rows, columns = self.values.shape
        return f"Rounding({rows} x {columns} to {self.codebook}: proxy loss {self.proxy_loss:.6g})"
