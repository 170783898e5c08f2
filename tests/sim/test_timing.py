"""The timing model: hand-computed times, dependencies, sharing of memory, reports, trace, validation."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="module")
def timing(kernels: Any) -> Any:
    return kernels("timing")


AT_ONCE = {"launch_microseconds": 0, "launch_core_microseconds": 0}  # times from the first instruction on


def run(library: Any, kernel: str, *args: Any, parameters: Any = None, **options: Any) -> Any:
    parameters = {**AT_ONCE, **(parameters or {})}
    return library.launch(kernel, *args, timing_only=True, parameters=parameters, **options).raise_on_findings()


def pipe(report: Any, name: str, core: int = 0) -> dict[str, float]:
    return report.cores[core]["pipes"][name]


# ---- hand-computed times ----


@pytest.mark.parametrize(("m", "n", "k", "steps"), [(128, 256, 64, 8), (16, 16, 16, 1), (100, 40, 72, 3)])
def test_mmad_takes_a_cycle_for_each_16x16x16(timing: Any, m: int, n: int, k: int, steps: int) -> None:
    report = run(timing, "mmad_steps", m, n, k, steps)
    blocks = -(-m // 16) * -(-n // 16) * -(-k // 16)
    assert pipe(report, "M")["busy"] == steps * (6 + blocks)
    assert report.cube_flops == steps * blocks * 8192


def test_cube_peak_share(timing: Any) -> None:
    report = run(timing, "mmad_steps", 128, 256, 64, 200, soc="Ascend910B1")
    assert report.raw["cube_peak_flops_per_second"] == pytest.approx(363.7e12, rel=1e-3)  # the published peak
    assert report.cube_peak_share == pytest.approx(512 * 200 / report.cycles / 24)


def test_vector_repeats_and_the_cost_of_a_barrier(timing: Any) -> None:
    free = run(timing, "adds", 10, 100, 0)
    chained = run(timing, "adds", 10, 100, 1)
    assert pipe(free, "V")["busy"] == pipe(chained, "V")["busy"] == pytest.approx(10 * 100 * 2)  # one bank group
    assert free.cycles == pytest.approx(4 + 2000 + 25)  # head and tail once
    assert chained.cycles - free.cycles == pytest.approx(9 * 25, abs=10 * 4)  # issue of a barrier may show


# Of the public sample bank_conflict_ub: where the operands of dst = a + b lie, and the cycles of one of its 64 repeats,
# head and tail taken off. Results are written while the next repeat reads.
@pytest.mark.parametrize(
    ("a", "b", "dst", "b_blocks", "b_repeats", "cycles"),
    [
        (0, 0x10100, 0x20000, 1, 8, 1),  # apart
        (0, 0x4000, 0x10000, 1, 8, 2),  # sources in one bank
        (0, 0x10000, 0x14100, 1, 8, 2),  # sources in one bank group
        (0, 0x10100, 0x4000, 1, 8, 1),  # result in a source's bank, but a repeat later
        (0, 0x10100, 0x4020, 1, 8, 1.77),  # result in the next repeat's bank
        (0, 0x10100, 0x10100, 1, 8, 1),  # in place
        (0x10100, 0, 0x10100, 0, 1, 1.5),  # one block for a repeat, which walks through the groups
        (0x10100, 0, 0x10100, 0, 8, 1),  # one block for a repeat, in step with the other source
    ],
)
def test_bank_conflicts_of_ub(
    timing: Any, a: int, b: int, dst: int, b_blocks: int, b_repeats: int, cycles: float
) -> None:
    report = run(timing, "add_at", a, b, dst, b_blocks, b_repeats, 10)
    # The first repeat has no result before it to meet.
    assert pipe(report, "V")["busy"] == pytest.approx(10 * 64 * cycles, rel=0.04)


def test_a_launch_takes_its_time_on_the_device(timing: Any) -> None:
    at_once = run(timing, "loads", 65536, 1, 65536, 0)
    one = timing.launch("loads", 65536, 1, 65536, 0, timing_only=True)
    assert one.microseconds - at_once.microseconds == pytest.approx(0.55)
    all_cores = timing.launch("adds", 0, 1, 0, block_dim=24, timing_only=True)
    # and a few cycles for the barrier at the kernel's end
    assert all_cores.microseconds == pytest.approx(0.55 + 23 * 0.014, abs=0.005)
    assert all_cores.sustained_microseconds == pytest.approx(all_cores.microseconds * 1.8 / 1.5)


def test_a_load_takes_its_bytes_over_the_rate(timing: Any) -> None:
    warm = run(timing, "loads", 65536, 1, 65536, 0, parameters={"l2_warm": 1})
    assert pipe(warm, "MTE2")["busy"] == pytest.approx(16 + 65536 / 126)
    assert warm.cycles == pytest.approx(4 + 16 + 65536 / 126 + 190, abs=4)
    cold = run(timing, "loads", 65536, 1, 65536, 0)
    assert pipe(cold, "MTE2")["busy"] == pytest.approx(16 + 65536 / 52)
    assert cold.memory["hbm_read"] == 65536
    assert warm.memory["hbm_read"] == 0


@pytest.mark.parametrize("rate", [95, 110, 128])
def test_fixpipe_rate(timing: Any, rate: float) -> None:
    report = run(timing, "fixpipe_tiles", 2**21, 4, 1024, 0, 0, parameters={"fixpipe_bytes_per_cycle": rate})
    assert pipe(report, "FIX")["busy"] == pytest.approx(4 * (15 + 128 * 256 * 2 / rate))


# ---- dependencies and overlap ----


def test_double_buffering_overlaps_the_pipes(timing: Any) -> None:
    cycles = {s: run(timing, "pipeline", 2**20, 2**20, 32, s, parameters={"l2_warm": 1}).cycles for s in (1, 2, 3)}
    report = run(timing, "pipeline", 2**20, 2**20, 32, 3, parameters={"l2_warm": 1})
    assert cycles[1] > 1.5 * cycles[2] >= 1.5 * cycles[3]
    busiest = max(p["busy"] for p in report.cores[0]["pipes"].values())
    assert busiest < report.cycles < 1.5 * busiest


def test_unit_flags_overlap_mmad_and_fixpipe(timing: Any) -> None:
    whole, flagged = (run(timing, "product_out", 131072, 128, unit) for unit in (0, 1))
    mmad, fixpipe = pipe(whole, "M")["busy"], pipe(whole, "FIX")["busy"]
    assert whole.cycles - flagged.cycles == pytest.approx(mmad, rel=0.2)
    assert flagged.cycles > fixpipe
    short = run(timing, "product_out", 131072, 16, 1)
    assert short.cycles < flagged.cycles  # a shorter Mmad still delays the first result less


def test_fixpipe_does_not_outrun_the_mmad_that_feeds_it(timing: Any) -> None:
    fast = {
        "fixpipe_bytes_per_cycle": 1e6,
        "l2_write_bytes_per_cycle": 1e6,
        "l2_mixed_bandwidth": 1e18,
        "gm_burst_cycles": 0,
    }
    report = run(timing, "product_out", 131072, 128, 1, parameters=fast, trace=True)
    done = {p: report.events["done"][report.events["pipe"] == i].max() for p, i in (("M", 2), ("FIX", 6))}
    assert done["FIX"] >= done["M"]


def test_dma_completes_out_of_order(timing: Any) -> None:
    report = run(timing, "miss_then_hit", 8192, trace=True)
    _, miss, hit = report.events[report.events["pipe"] == 4]
    assert miss["start"] < hit["start"]
    assert miss["done"] > hit["done"]


def test_cores_meet_in_syncall(timing: Any) -> None:
    once, ten = (run(timing, "meet", 4096, rounds, block_dim=8) for rounds in (1, 10))
    assert len({c["cycles"] for c in ten.cores}) == 1
    slow = run(timing, "meet", 4096, 10, block_dim=8, parameters={"cross_flag_latency_cycles": 1100})
    assert slow.cycles - ten.cycles == pytest.approx(10 * 1000)
    assert ten.cycles > 9 * (once.cycles - 600)


# ---- L2 and HBM ----


def test_cores_share_the_chips_bandwidth(timing: Any) -> None:
    slow = {"l2_warm": 1, "l2_read_bandwidth": 0.9e12}  # 500 B a cycle at 1.8 GHz, less than five cores' 126
    one = run(timing, "loads", 48 * 2**20, 64, 16384, 0, block_dim=1, parameters=slow)
    many = run(timing, "loads", 48 * 2**20, 64, 16384, 0, block_dim=48, parameters=slow)
    alone = run(timing, "loads", 48 * 2**20, 64, 16384, 0, block_dim=1, parameters={"l2_warm": 1})
    assert one.cycles == alone.cycles
    assert many.cycles == pytest.approx(48 * 64 * 16384 / 500, rel=0.05)
    ends = [c["cycles"] for c in many.cores]
    assert max(ends) < 1.15 * min(ends)  # nobody starves


def test_short_pieces_of_lines_that_others_read_are_slow(timing: Any) -> None:
    # 16 cores, each all of 1 MiB in pieces of 128 B, as the public sample data_copy reads.
    def cycles(order: int, **parameters: float) -> float:
        args = (2**20, 1024, 512, 512, 64, 64, 1, 1, order)
        report = run(timing, "copy_tiles_ub", *args, block_dim=16, parameters={"l2_warm": 1, **parameters})
        return float(report.cycles)

    assert cycles(1) == pytest.approx(16 * 2**20 / 335, rel=0.1)
    assert cycles(0) < cycles(1) / 16  # their own shares
    assert cycles(1, shared_piece_bytes=64) < cycles(1) / 4


def test_rows_that_start_inside_a_line_are_slow(timing: Any) -> None:
    times = [
        run(timing, "copy_tiles_l1", 2**21, 1024, 256, pitch, 64, 256, 1, 1, 0, parameters={"l2_warm": 1}).cycles
        for pitch in (1024, 1023)
    ]
    assert times[1] / times[0] == pytest.approx(2, rel=0.2)  # 512 B touch two lines of 512 B


def test_a_tiled_matmul_is_one(timing: Any) -> None:
    from ascend_sim.tilings import Tiling

    rng = np.random.default_rng(2)
    batch, m, n, k = 2, 96, 80, 64
    a = rng.standard_normal((batch, m, k)).astype(np.float16)
    b = rng.standard_normal((batch, k, n)).astype(np.float16)
    want = a.astype(np.float32) @ b.astype(np.float32)
    nz = [np.ascontiguousarray(x.reshape(*x.shape[:2], -1, 16).transpose(0, 2, 1, 3)) for x in (a, b)]
    stored_a = {"nz": nz[0], "mk": a, "km": a.transpose(0, 2, 1)}
    stored_b = {"nz": nz[1], "kn": b, "nk": b.transpose(0, 2, 1)}
    shared = {"batch": batch, "m": m, "n": n, "k": k, "cores_batch": 1, "cores_m": 2, "cores_n": 1}
    for tiling in (
        Tiling(**shared, base_m=32, base_n=48, base_k=32, l1a_k=32, l1a_m=32, l1b_k=64, l1b_n=48, l1a_buffers=2),
        Tiling(**shared, base_m=16, base_n=16, base_k=64, l1b_k=64, l1b_n=32, l0a_buffers=2, l0c_buffers=2),
        Tiling(**shared, base_m=48, base_n=80, base_k=16, l1a_k=64, l1a_m=48, l1a_batch=2, row_major=True),
        Tiling(**shared, base_m=32, base_n=48, base_k=32, l1a_k=32, l1a_m=32, l1b_k=32, l1b_n=48, a_layout="km"),
        Tiling(**shared, base_m=32, base_n=48, base_k=32, l1b_k=32, l1b_n=48, a_layout="mk", b_layout="nk"),
    ):
        c = np.zeros(batch * m * n, np.float32)
        in_gm = [np.ascontiguousarray(x) for x in (stored_a[tiling.a_layout], stored_b[tiling.b_layout])]
        timing.launch("matmul_tiled", *in_gm, c, tiling.struct(wide=True), block_dim=tiling.cores).raise_on_findings()
        got = c.reshape(batch, m, n) if tiling.row_major else c.reshape(batch, n // 16, m, 16).transpose(0, 2, 1, 3)
        np.testing.assert_allclose(got.reshape(batch, m, n), want, rtol=1e-3, atol=1e-3)


def test_hbm_is_shared_too(timing: Any) -> None:
    report = run(timing, "loads", 48 * 2**20, 64, 16384, 0, block_dim=48, parameters={"hbm_bandwidth": 0.36e12})
    assert report.cycles == pytest.approx(48 * 64 * 16384 / 200, rel=0.05)


def test_what_one_core_read_the_others_find_in_l2(timing: Any) -> None:
    report = run(timing, "loads", 2**20, 64, 16384, 1, block_dim=48)
    assert report.memory == {"read": 48 * 2**20, "written": 0, "hbm_read": 2**20, "hbm_written": 0}


def test_l2_forgets_what_its_capacity_does_not_hold(timing: Any) -> None:
    fits, over = (  # 48 cores at a time: the second wave reads everything again
        run(timing, "loads", 2**22, 64, 65536, 1, block_dim=96, parameters={"l2_bytes": mib * 2**20}) for mib in (8, 1)
    )
    assert fits.memory["hbm_read"] == 2**22
    assert over.memory["hbm_read"] == 2 * 2**22


def test_writes_reach_hbm_once_l2_is_full(timing: Any) -> None:
    args = (8192 * 8192 * 2, 2048, 8192, 0, 0)
    assert run(timing, "fixpipe_tiles", *args, block_dim=24).memory["hbm_written"] == 0
    small = run(timing, "fixpipe_tiles", *args, block_dim=24, parameters={"l2_bytes": 64 * 2**20})
    assert small.memory["hbm_written"] == pytest.approx(64 * 2**20, rel=0.01)


# ---- parameters ----


def test_every_parameter_says_how_it_is_known(timing: Any) -> None:
    import ascend_sim

    table = ascend_sim.socs(timing.path)
    assert {"Ascend910B1", "Ascend910B2", "Ascend910B2C", "Ascend910B3", "Ascend910B4", "Ascend910B4-1"} < set(
        table["chips"]
    )
    names = {p["name"] for p in table["parameters"]}
    assert all(set(chip) == names for chip in table["chips"].values())
    for p in table["parameters"]:
        assert p["known"] in ("published", "derived", "fitted", "assumed")
        assert p["source"]
        assert p["unit"]
        assert p["fitted"] == (p["known"] == "fitted")
    peaks = {
        "Ascend910B1": 363.7,
        "Ascend910B2": 353.9,
        "Ascend910B3": 294.9,
        "Ascend910B4": 245.8,
        "Ascend910_9362": 245.8,
    }
    for name, tflops in peaks.items():
        assert table["chips"][name]["aic_cores"] * table["chips"][name]["ghz"] * 8.192 == pytest.approx(
            tflops, rel=1e-3
        )


def test_parameters_are_checked(timing: Any) -> None:
    from ascend_sim.launch import LaunchError

    for parameters, message in (
        ({"fixpipe_bytes_per_cycle": 0.0}, "expected a finite value above 0 for 'fixpipe_bytes_per_cycle=0.0'"),
        ({"cube_head_cycles": -1.0}, "expected a finite value of 0 or more for 'cube_head_cycles=-1.0'"),
        ({"ghz": float("nan")}, "expected a finite value above 0 for 'ghz=nan'"),
        ({"ghz": float("inf")}, "expected a finite value above 0 for 'ghz=inf'"),
        ({"warp_speed": 9}, "unknown SoC parameter in 'warp_speed=9'"),
    ):
        with pytest.raises(LaunchError, match=re.escape(message)):
            timing.launch("adds", 1, 1, 0, timing_only=True, parameters=parameters)


@pytest.mark.parametrize(
    ("kernel", "args", "name", "values"),
    [
        ("fixpipe_tiles", (2**21, 4, 1024, 0, 0), "fixpipe_bytes_per_cycle", (128, 110, 95)),
        ("fixpipe_tiles", (2**22, 4, 1024, 1, 1), "fixpipe_atomic_bytes_per_cycle", (110, 53, 26)),
        ("stage_qk", (32768, 65536, 131072), "nd2nz_bytes_per_cycle", (110, 83, 40)),
        ("stage_qk", (32768, 65536, 131072), "l1_to_l0b_bytes_per_cycle", (256, 128)),
        ("stage_p", (65536, 32768), "vector_heavy_cycles", (1, 2, 3)),
        ("stage_o", (32768,), "mte_latency_cycles", (0, 300, 900)),
        ("stage_o", (32768,), "hbm_latency_cycles", (0, 300, 900)),
        ("mmad_steps", (128, 256, 64, 8), "cube_latency_cycles", (0, 60)),
    ],
)
def test_slower_parameters_make_slower_kernels(
    timing: Any, kernel: str, args: tuple[int, ...], name: str, values: tuple[float, ...]
) -> None:
    warm = {} if name == "hbm_latency_cycles" else {"l2_warm": 1}
    cycles = [run(timing, kernel, *args, parameters={**warm, name: v}).cycles for v in values]
    assert all(a < b for a, b in itertools.pairwise(cycles))


def test_plain_and_atomic_fixpipe_have_their_own_rates(timing: Any) -> None:
    for atomic, name in ((0, "fixpipe_atomic_bytes_per_cycle"), (1, "fixpipe_bytes_per_cycle")):
        args = (2**22, 4, 1024, 1, atomic)
        assert (
            run(timing, "fixpipe_tiles", *args).cycles
            == run(timing, "fixpipe_tiles", *args, parameters={name: 5}).cycles
        )


def test_more_work_takes_longer(timing: Any) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        m, n, k = (int(x) * 16 for x in rng.integers(1, 8, 3))
        grown = run(timing, "mmad_steps", m + 16, n, k, 2).cycles, run(timing, "mmad_steps", m, n, k + 16, 2).cycles
        assert min(*grown, run(timing, "mmad_steps", m, n, k, 3).cycles) > run(timing, "mmad_steps", m, n, k, 2).cycles


def test_chips_differ(timing: Any) -> None:
    us = {
        soc: run(timing, "mmad_steps", 128, 256, 64, 8, soc=soc).microseconds for soc in ("Ascend910B1", "Ascend910B4")
    }
    assert us["Ascend910B4"] / us["Ascend910B1"] == pytest.approx(1.85 / 1.5)


# ---- report, trace, picture ----


@pytest.fixture(scope="module")
def product(timing: Any) -> Any:
    size = 2 * 1024 * 1024
    return run(timing, "matmul_staged", size, size, size, 1024, 256, 256, block_dim=16, trace=True)


def test_time_without_data_is_the_time_with_data(timing: Any) -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal((512, 512)).astype(np.float16) for _ in range(2))
    c = np.zeros((512, 512), np.float16)
    options = {"block_dim": 4, "uninitialised": [2], "parameters": AT_ONCE}
    report = timing.launch("matmul_staged", a, b, c, 512, 256, 256, **options).raise_on_findings()
    np.testing.assert_allclose(c, a.astype(np.float32) @ b.astype(np.float32).T, rtol=2e-3, atol=2e-2)
    without = run(timing, "matmul_staged", a.nbytes, b.nbytes, c.nbytes, 512, 256, 256, block_dim=4)
    assert without.cycles == report.cycles
    assert without.path_bytes == report.path_bytes
    for kernel, sizes in (("stage_p", (65536, 32768)), ("stage_o", (32768,))):
        arrays = [np.zeros(size // 4, np.float32) for size in sizes]
        with_data = timing.launch(kernel, *arrays, parameters=AT_ONCE).raise_on_findings()
        assert with_data.cycles == run(timing, kernel, *sizes).cycles


def test_report_of_a_product(product: Any) -> None:
    assert product.cube_flops == 2 * 1024**3
    assert product.path_bytes["L0C->GM"] == 2 * 1024 * 1024
    assert product.path_bytes["GM->L1"] == 2 * (4 + 8) * 1024 * 1024
    assert sum(product.critical_path.values()) == pytest.approx(1)
    assert sum(product.raw["critical_path"].values()) == pytest.approx(product.cycles, rel=1e-4)
    assert all(0 < share <= 1 for share in product.pipe_shares.values())
    assert product.pipe_shares["aic.M"] == pytest.approx(product.busy("M"))
    assert product.active_microseconds("M") >= product.busy("M") * product.microseconds
    text = product.summary()
    assert "modelled, not measured" in text
    assert "critical  aic." in text


@pytest.mark.parametrize(
    ("kernel", "args", "critical"),
    [
        ("fixpipe_tiles", (2**23, 64, 1024, 0, 0), "aic.FIX"),
        ("mmad_steps", (128, 256, 64, 100), "aic.M"),
        ("loads", (2**22, 64, 65536, 0), "aiv.MTE2"),
        ("adds", (100, 200, 0), "aiv.V"),
    ],
)
def test_critical_pipe(timing: Any, kernel: str, args: tuple[int, ...], critical: str) -> None:
    report = run(timing, kernel, *args)
    assert report.critical_pipe == critical
    assert report.critical_path[critical] > 0.8


def test_trace_is_in_the_trace_event_format(product: Any, tmp_path: Path) -> None:
    product.write_trace(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert trace["displayTimeUnit"] in ("ms", "ns")
    names: dict[tuple[int, int], str] = {}
    bars = defaultdict(list)
    for event in trace["traceEvents"]:
        assert isinstance(event["pid"], int)
        assert isinstance(event["name"], str)
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name")
            assert isinstance(event["args"]["name"], str)
            if event["name"] == "thread_name":
                names[event["pid"], event["tid"]] = event["args"]["name"]
            continue
        assert event["ph"] == "X"
        assert event["dur"] >= 0
        assert event["ts"] >= 0
        assert event["args"]["done"] >= event["ts"] + event["dur"] - 1e-5
        assert event["args"]["site"].split(":")[-1].isdigit()
        bars[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    assert set(bars) <= set(names)
    assert {names[key] for key in bars} == {"M", "MTE1", "MTE2", "FIX"}
    assert sum(len(b) for b in bars.values()) == len(product.events)
    for row in bars.values():  # bars of a row may not overlap, or viewers draw them wrongly
        row.sort()
        assert all(end <= start + 2e-6 for (_, end), (start, _) in itertools.pairwise(row))
    assert max(end for row in bars.values() for _, end in row) <= product.microseconds


def test_occupancy_adds_up_to_the_busy_time(product: Any) -> None:
    from ascend_sim.plot import occupancy

    for core in (0, 7):
        share = occupancy(product, core, "M", 50)
        assert share.mean() == pytest.approx(pipe(product, "M", core)["busy"] / product.cycles, rel=1e-6)
        assert share.min() >= 0
        assert share.max() <= 1


def test_occupancy_chart(timing: Any, product: Any, tmp_path: Path) -> None:
    product.write_png(tmp_path / "time.png", title="matmul")
    run(timing, "adds", 10, 10, 1, block_dim=4).write_png(tmp_path / "means.png")
    for name in ("time.png", "means.png"):
        data = (tmp_path / name).read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        assert len(data) > 5000


def test_empty_launches_have_reports(timing: Any, tmp_path: Path) -> None:
    report = run(timing, "adds", 0, 1, 0, trace=True)
    assert report.critical_pipe in ("", "aiv.S")
    assert len(report.events) == 0
    assert report.cube_peak_share == 0
    with pytest.raises(ValueError, match="the launch was not made with trace=True"):
        run(timing, "adds", 1, 1, 0).write_trace(tmp_path / "trace.json")


# ---- validation and sensitivity ----


def test_validated_figures_are_within_the_tolerance_claimed(timing: Any) -> None:
    from ascend_sim import validate

    table = validate.rows(timing)
    validated = [row for row in table if row.kind == "validated"]
    assert len(validated) >= 2
    for row in validated:
        assert row.tolerance is not None
        assert abs(row.error) <= row.tolerance, row
    assert all(row.tolerance is None for row in table if row.kind != "validated")
    for row in table:
        if row.kind == "fitted":
            assert abs(row.error) < 0.05, row  # a fit that no longer fits
    fitted = {row.note for row in table if row.kind == "fitted"}
    assert {"cube_head_cycles", "nd2nz_bytes_per_cycle"} <= fitted


def test_validate_prints_the_table(
    timing: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ascend_sim import validate

    monkeypatch.setattr(validate, "timing_library", lambda: timing)
    monkeypatch.setattr(sys, "argv", ["validate"])
    validate.main()
    text = capsys.readouterr().out
    for part in (
        *("4,209 - 4,225", "matmul 8192^3", "QK", "fitted", "validated", "none measured by this project"),
        *("data_copy into UB, tiles 64 x 1024", "1,8192,2048,4096 fp16 1x1x16 256x128x64"),
    ):
        assert part in text


def test_loops_around_calls_take_time(timing: Any) -> None:
    """200 independent Adds of a repeat are issued more slowly than they run."""
    without, with_loops = (
        timing.launch("adds", 200, 1, 0, timing_only=True, parameters={"scalar_loop_cycles": cycles}).cycles
        for cycles in (0, 5)
    )
    assert with_loops - without == pytest.approx(200 * 5, rel=0.05)


def test_published_times_of_whole_kernels(timing: Any) -> None:
    from ascend_sim import validate

    for row in [*validate.sample_rows(timing), *validate.catlass_rows(timing)]:
        assert abs(row.error) <= 0.15 or (row.note and abs(row.error) <= 0.21), row


def test_measured_matmuls(timing: Any) -> None:
    """The built-in rows are near their measured times; none but the first was looked at when rates were chosen."""
    from ascend_sim import tilings, validate

    done = list(tilings.compare(timing, validate.built_in_matmuls()))
    told = tilings.summary(done)
    assert (told["rows"], told["expressed"]) == (20, 20)
    assert told["median"] <= 0.03
    assert told["cube_median"] <= 0.015
    assert told["p90"] <= 0.25
    assert tilings.summary([]) == {"rows": 0, "expressed": 0, "median": None, "p90": None, "cube_median": None}


def test_rows_of_a_file(
    timing: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from ascend_sim import tilings, validate

    monkeypatch.setattr(validate, "timing_library", lambda: timing)
    file = tmp_path / "rows.csv"
    monkeypatch.setattr(sys, "argv", ["validate", "--rows", str(file)])
    row = "1,512,512,128,fp16,1,2,2,128,128,64,2,64,128,1,,,2,2,1,3.5"
    file.write_text(f"{tilings.HEADER}\n{row}\n{row.replace('1,512,', '1,520,', 1)}\n")
    validate.main()
    *table, last = capsys.readouterr().out.splitlines()
    assert json.loads(last).keys() == {"rows", "expressed", "median", "p90", "cube_median"}
    assert (json.loads(last)["rows"], json.loads(last)["expressed"]) == (2, 1)
    assert any("1,512,512,128 fp16" in line and "3.50" in line for line in table)
    assert any("not expressed: sizes are no multiples of 16" in line for line in table)
    file.write_text(f"{tilings.HEADER}\n{row.replace('1,512,', '1,528,', 1)}\n")
    validate.main()
    assert "sizes are no multiples of 64, and layouts in GM are not given" in capsys.readouterr().out
    # With layouts, operands in NZ may have any size, rows of GM only lengths that say how they lie.
    odd = (
        row.replace("1,512,512,128", "1,528,512,144")
        .replace("2,64,128", "1,144,128")
        .replace("128,128,64", "128,128,48")
    )
    lines = [f"{odd},{layouts}" for layouts in ("nz,nz,mn", "nz,kn,nz", "mk,nz,nz")]
    file.write_text("\n".join([f"{tilings.HEADER},{tilings.LAYOUTS}", *lines]))
    validate.main()
    *table, last = capsys.readouterr().out.splitlines()
    assert json.loads(last)["expressed"] == 2
    assert any("not expressed: rows of GM are no multiples of 128 B" in line for line in table)
    for text, message in (
        ("m,n\n1,2\n", "line 1: expected the header batch,m,n,k"),
        (f"{tilings.HEADER},{tilings.LAYOUTS}\n{row},nd,nz,nz\n", "line 2: a_layout: expected nz, mk, km, got 'nd'"),
        (
            f"{tilings.HEADER}\n{row.replace('128,128,64', '128,x,64')}\n",
            "line 2: base_n: expected an integer, got 'x'",
        ),
        (f"{tilings.HEADER}\n{row.replace('fp16', 'bf16')}\n", "line 2: out_dtype: expected fp16 or fp32, got 'bf16'"),
    ):
        file.write_text(text)
        with pytest.raises(SystemExit):
            validate.main()
        assert message in capsys.readouterr().err


def test_sensitivity(timing: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from ascend_sim import sensitivity

    monkeypatch.setattr(sensitivity, "timing_library", lambda: timing)
    monkeypatch.setattr(sys, "argv", ["sensitivity", "--kernel", "fixpipe"])
    sensitivity.main()
    text = capsys.readouterr().out
    assert "modelled, not measured" in text
    for name in sensitivity.RANGES:
        assert name in text
    base, points = sensitivity.sweep(
        lambda p: run(timing, "product_out", 131072, 128, 1, parameters=p), {"fixpipe_bytes_per_cycle": (95, 128, 140)}
    )
    assert [round(p.change, 9) == 0 for p in points] == [False, True, False]
    assert points[0].report.cycles > base.cycles > points[2].report.cycles
    monkeypatch.setattr(sys, "argv", ["sensitivity", "--kernel", "nothing"])
    with pytest.raises(SystemExit):
        sensitivity.main()
