"""Compiling where nothing can be kept on disk."""

import numba
import pytest

from quincunx.kernels.compiled import compiled, compiled_fast


@pytest.mark.parametrize("decorate", [compiled, compiled_fast])
def test_without_a_place_for_a_cache_loops_are_compiled_all_the_same(monkeypatch, decorate):
    njit = numba.njit

    def without_cache(*given, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*given, **options)

    monkeypatch.setattr(numba, "njit", without_cache)

    def double(x):
        return x + x

    assert decorate(double)(1.5) == 3.0
