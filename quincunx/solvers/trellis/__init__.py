"""Trellis search: the sequences of a shift register's states that come nearest to given numbers."""

from quincunx.kernels.packing import pack, unpack
from quincunx.kernels.trellis_codes import NAMES, values
from quincunx.solvers.trellis.viterbi import Bitshift, Paths, viterbi

__all__ = ["NAMES", "Bitshift", "Paths", "pack", "unpack", "values", "viterbi"]
