"""Loading, launching and reporting: the Python side of the simulator."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch


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


def test_torch_tensors(kernels):
    x = torch.randn(2, 1024)
    y, out = torch.randn(2, 2048)[:, ::2], torch.zeros(2, 1024)  # y is strided: the kernel sees it contiguous
    kernels("vector_add").launch("vector_add", x, y, out, block_dim=2).raise_on_findings()
    assert torch.equal(out, x + y)


def test_arrays_in_global_memory_are_not_copied(kernels):
    lib = kernels("vector_add")
    size = 2048 * 4
    memory = lib.gm_array(3 * size)
    assert not memory.any()
    x, y, out = (memory[i * size : (i + 1) * size].view(np.float32) for i in range(3))
    x[:], y[:] = np.arange(2048), 2.0
    seen = memory[2 * size :]  # the kernel writes here itself
    lib.launch("vector_add", x, y, out, block_dim=2).raise_on_findings()
    np.testing.assert_array_equal(seen.view(np.float32), np.arange(2048) + 2.0)
    whole = memory[: 2 * size].view(np.float32)
    with pytest.raises(ValueError, match="argument 1 overlaps argument 0 in simulated global memory"):
        lib.launch("vector_add", whole, y, out, block_dim=2)
    huge = lib.gm_array(1 << 40)  # nothing of it is there until it is touched
    huge[-4:] = 1
    assert huge[-5:].sum() == 4


def test_timing_only_needs_no_data(kernels):
    launch = kernels("speed").launch
    tiles, blocks = 50, 24
    sizes = [blocks * 128 * tiles * 128 * 2, 128 * tiles * 128 * 2, blocks * 128 * 128 * 4]
    report = launch("matmul_loop", *sizes, tiles, block_dim=blocks, timing_only=True)
    report.raise_on_findings()
    assert report.cube_steps == blocks * tiles * 8**3
    assert report.path_bytes["GM->L1"] == blocks * tiles * 2 * 128 * 128 * 2
    slow = launch("matmul_loop", *sizes, tiles, block_dim=blocks, timing_only=True, parameters={"ghz": 0.9})
    assert slow.microseconds > report.microseconds


def test_timing_does_not_depend_on_the_data(kernels):
    """Timing-only, eager and lazy runs of one launch model the same time."""
    rng = np.random.default_rng(1)
    a = rng.standard_normal((2, 128, 3 * 128)).astype(np.float16)
    b = rng.standard_normal((128, 3 * 128)).astype(np.float16)
    c = np.zeros((2, 128, 128), np.float32)
    launch = kernels("speed").launch

    def cycles(**options):
        return launch("matmul_loop", a, b, c, 3, block_dim=2, **options).raise_on_findings().cycles

    assert cycles() == cycles(order="lazy") == cycles(timing_only=True)
    # A random order of the cores also changes who finds the shared operand in L2.
    assert cycles(order="random", seed=3) == pytest.approx(cycles(), rel=0.15)
    np.testing.assert_allclose(c, a.astype(np.float32) @ b.astype(np.float32).T, rtol=1e-3, atol=1e-2)


def test_socs(kernels):
    import ascend_sim

    table = ascend_sim.socs(kernels("vector_add").path)
    assert {"Ascend910B1", "Ascend910B4", "Ascend910_9391"} <= set(table["chips"])
    b3 = table["chips"]["Ascend910B3"]
    assert (b3["aic_cores"], b3["aiv_cores"], b3["ghz"]) == (20, 40, 1.8)
    names = {p["name"] for p in table["parameters"]}
    assert names == set(b3)
    assert all(p["source"] for p in table["parameters"])


def test_missing_library():
    import ascend_sim

    with pytest.raises(FileNotFoundError, match=r"libnone\.so: no such kernel library"):
        ascend_sim.load("/nowhere/libnone.so")
