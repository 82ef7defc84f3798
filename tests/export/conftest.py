from functools import cache

import pytest
import torch

from i2i.export import graph

from .helpers import Get, sampler, translator


@pytest.fixture(scope="session")
def traced() -> Get:
    """traced(name, pixels="uint8", dtype=torch.float32): a small translator as a graph, made once; seconds each."""

    @cache
    def make(name: str, pixels: graph.Pixels = "uint8", dtype: torch.dtype = torch.float32) -> graph.Traced:
        return graph.translator(translator(name), pixels, dtype)

    return make


@pytest.fixture(scope="session")
def drawn() -> Get:
    """drawn(name): a small generator from noise as a graph."""
    return cache(lambda name: graph.sampler(sampler(name)))
