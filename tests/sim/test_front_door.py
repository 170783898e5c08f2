"""Loading, launching and reporting: the Python side of the simulator."""

from __future__ import annotations

import json

import numpy as np
import pytest


@pytest.mark.parametrize("order", ["eager", "lazy", "random"])
def test_vector_add(kernels, order):
    lib = kernels("vector_add")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, 1024), dtype=np.float32)
    out = np.zeros_like(x)
    report = lib.launch("vector_add", x, y, out, block_dim=3, order=order, seed=7, uninitialised=[2])
    report.raise_on_findings()
    np.testing.assert_array_equal(out, x + y)
    assert report.path_bytes == {"GM->UB": 2 * x.nbytes, "UB->GM": out.nbytes}
    assert report.cycles > 0


def test_kernel_listing(kernels):
    kernel = kernels("vector_add").kernels["vector_add"]
    assert kernel.type == "aiv_only"
    assert kernel.args == (("pointer", 8),) * 3


def test_out_of_bounds_names_the_buffer(kernels):
    x = np.zeros(1024, np.float32)
    report = kernels("vector_add").launch("vector_add", x, x.copy(), x.copy(), block_dim=2, names=["x", "y", "out"])
    assert not report.completed
    assert report.rules() == {"out-of-bounds-read"}
    finding = report.findings[0]
    assert "GM 'x', which has 4096 bytes" in finding.message
    assert finding.npuchk == "ErrorRead3"
    assert finding.site.file.endswith("vector_add.cpp")
    assert finding.site.line > 0


def test_trace(kernels, tmp_path):
    x = np.zeros(1024, np.float32)
    report = kernels("vector_add").launch("vector_add", x, x.copy(), x.copy(), trace=True)
    report.write_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert [e["name"] for e in events if e["ph"] == "X"] == ["DataCopy", "DataCopy", "Add", "DataCopy"]
