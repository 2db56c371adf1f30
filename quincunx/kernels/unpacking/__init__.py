"""States of trellis paths read from bytes: :func:`quincunx.kernels.packing.unpack`, compiled."""
