"""The benchmark for an NPU where there is none: what it prints, what it writes, whom it calls how, and its calibration
on the timing model. tests/npu/test_npu_bench.py runs it on the emulated runtime.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from triangle_attn_op import ascend_sim
from triangle_attn_op.npu_bench import cases, contenders, measure, report
from triangle_attn_op.npu_bench.__main__ import main
from triangle_attn_op.npu_bench.calibrate import calibrate
from triangle_attn_op.npu_bench.chip import Chip
from triangle_attn_op.npu_bench.simulated import SimulatedTimer
from triangle_attn_op.sim import library

CHIP = Chip("Ascend910B2", 24, "8.5.0", "2.13.0", "2.13.0", "0.1.0", simulated=False)
TINY = list(cases.cases(cases.TINY))
# Far from the defaults, every one.
GIVEN = {
    **{"ghz": 1.5, "cube_head_cycles": 3, "cube_latency_cycles": 40, "fixpipe_bytes_per_cycle": 95},
    **{"fix_latency_cycles": 450, "fixpipe_atomic_bytes_per_cycle": 53, "l1_to_l0a_bytes_per_cycle": 200},
    **{
        "l1_to_l0b_bytes_per_cycle": 100,
        "mte1_head_cycles": 12,
        "mte1_latency_cycles": 90,
        "nd2nz_bytes_per_cycle": 64,
    },
    **{"l2_read_bytes_per_cycle": 110, "mte_head_cycles": 24, "mte_latency_cycles": 300, "hbm_latency_cycles": 350},
    **{"ddr_read_bytes_per_cycle": 40, "ub_write_bytes_per_cycle": 80, "store_latency_cycles": 250},
    **{"ub_write_atomic_bytes_per_cycle": 30, "hbm_bandwidth": 1.2e12, "shared_line_bytes_per_cycle": 500},
    **{"shared_piece_bytes": 1e9, "vector_add_cycles": 1.5, "vector_mul_cycles": 2.3, "vector_max_cycles": 2},
    **{"vector_heavy_cycles": 3, "vector_div_cycles": 5, "vector_scalar_cycles": 1.2, "vector_reduce_cycles": 8},
    **{"vector_head_cycles": 20, "vector_counter_cycles": 10, "ub_write_conflict_cycles": 0.5},
    **{"ub_read_conflict_cycles": 1.2, "scalar_issue_cycles": 7, "scalar_division_cycles": 150},
    **{"cross_flag_latency_cycles": 250, "launch_microseconds": 1.2, "launch_core_microseconds": 0.03},
}


@pytest.mark.parametrize("given", [{}, GIVEN], ids=["defaults", "others"])
def test_calibration_gives_back_the_parameters(given: dict[str, float]) -> None:
    """Of times alone, within 2%. The chip's L2 bandwidth is the exception: cores that got less end later, alone."""
    own = ascend_sim.socs(library.measure().path)["chips"]["Ascend910B2"] | given
    found = calibrate(SimulatedTimer(library.measure(), parameters=given)).parameters
    assert set(found) == set(GIVEN) | {"l2_read_bandwidth"}
    for name, value in found.items():
        assert value == pytest.approx(own[name], rel=0.04 if name == "l2_read_bandwidth" else 0.02), name


def test_parameter_file_for_the_simulator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from triangle_attn_op.sim.__main__ import main as sim

    file = tmp_path / "chip.json"
    assert main(["--calibrate", str(file), "--simulator", "--set", "fixpipe_bytes_per_cycle=100"]) == 0
    assert all(line.startswith("simulated: ") for line in capsys.readouterr().out.splitlines())
    assert json.loads(file.read_text())["fixpipe_bytes_per_cycle"] == pytest.approx(100, rel=0.02)
    assert sim(["--shape", "1,1,1,256,256,64", "--timing-only", "--parameters", str(file)]) == 0


def test_without_an_npu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "python -m triangle_attn_op.npu_bench: expected torch_npu beside torch" in capsys.readouterr().err


@pytest.mark.parametrize("case", TINY, ids=str)
def test_pairs_and_the_reference(case: cases.Case) -> None:
    """The visible pairs, counted one by one, and this package's contender against the reference of one head group."""
    rows = range(case.seq_q)
    left = case.window if case.window is not None else case.seq_k
    if case.documents:
        visible = sum(i + 1 for n in case.documents for i in range(n))
    else:
        shift = case.seq_k - case.seq_q
        visible = sum(min(i + shift, case.seq_k - 1) - max(0, i + shift - left + 1) + 1 for i in rows)
    assert case.pairs() == case.batch * case.heads_q * visible
    inputs = case.tensors("bf16")
    direction = case.directions[-1]
    wanted = measure.reference(case, inputs, direction)
    found = contenders.ours(case, inputs).results(direction)
    assert measure.difference(case, torch.bfloat16, found, wanted) == ""
    last = [t.clone() for t in found]
    (last[0][-1] if case.documents else last[0][0, :, -1]).zero_()
    assert measure.difference(case, torch.bfloat16, last, wanted).startswith("out is ")


def _masked(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, hidden: torch.Tensor, scale: float) -> torch.Tensor:
    k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], 1) for t in (k, v))
    scores = (q.float() @ k.float().mT * scale).masked_fill(hidden, float("-inf"))
    return (scores.softmax(-1) @ v.float()).to(q.dtype)


def _fusion(
    *arguments: Any,
    atten_mask: torch.Tensor | None = None,
    scale: float = 1.0,
    keep_prob: float = 1.0,
    pre_tockens: int = 2**31 - 1,
    next_tockens: int = 2**31 - 1,
    sparse_mode: int = 0,
    actual_seq_qlen: list[int] | None = None,
    actual_seq_kvlen: list[int] | None = None,
) -> tuple[torch.Tensor]:
    """npu_fusion_attention as its documentation has it, for the modes that are used."""
    q, k, v, heads, layout = arguments
    assert keep_prob == 1.0
    if layout == "TND":
        assert sparse_mode == 3
        assert actual_seq_qlen == actual_seq_kvlen is not None
        begins = [0, *actual_seq_qlen[:-1]]
        parts = [
            _fusion(
                *(t[begin:end].transpose(0, 1)[None] for t in (q, k, v)),
                heads,
                "BNSD",
                atten_mask=atten_mask,
                scale=scale,
                sparse_mode=3,
            )[0]
            for begin, end in zip(begins, actual_seq_qlen)
        ]
        return (torch.cat([part[0].transpose(0, 1) for part in parts]),)
    if layout == "BSND":
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    assert q.shape[1] == heads
    i, j = torch.arange(q.shape[2])[:, None], torch.arange(k.shape[2])
    if sparse_mode == 0:
        hidden = torch.zeros(1, dtype=torch.bool)
    else:
        assert atten_mask is not None
        assert torch.equal(atten_mask, torch.ones(2048, 2048, dtype=torch.bool).triu(1))
        i = i + (0 if sparse_mode == 2 else k.shape[2] - q.shape[2])
        hidden = j > i + (next_tockens if sparse_mode == 4 else 0)
        hidden = hidden | ((j < i - pre_tockens) if sparse_mode == 4 else False)
    out = _masked(q, k, v, hidden, scale)
    return (out.transpose(1, 2) if layout == "BSND" else out,)


def test_opponents_are_called_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each on its semantics in PyTorch: the same results as the reference; where it has none, it says so."""
    vendor, flash = types.ModuleType("torch_npu"), types.ModuleType("flash_attn_npu")
    vendor.npu_fusion_attention = _fusion  # type: ignore[attr-defined]

    def infer(q: Any, k: Any, v: Any, **options: Any) -> Any:
        assert options.pop("num_key_value_heads") == k.shape[1]
        assert (options.pop("num_heads"), options.pop("input_layout")) == (q.shape[1], "BNSD")
        return (_masked(q, k, v, torch.zeros(1, dtype=torch.bool), options.pop("scale")),)

    def dense(q: Any, k: Any, v: Any, *, causal: bool, softmax_scale: float, window_size: tuple[int, int]) -> Any:
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        i, j = torch.arange(q.shape[2])[:, None] + k.shape[2] - q.shape[2], torch.arange(k.shape[2])
        hidden = (j > i) if causal else torch.zeros(1, dtype=torch.bool)
        if window_size[0] >= 0:
            hidden = hidden | (j < i - window_size[0])
        return _masked(q, k, v, hidden, softmax_scale).transpose(1, 2)

    def packed(q: Any, k: Any, v: Any, cu_q: Any, cu_k: Any, longest_q: int, longest_k: int, **options: Any) -> Any:
        assert longest_q == longest_k == int(cu_q.diff().max())
        ends = zip(cu_q.tolist(), cu_q.tolist()[1:])
        return torch.cat([dense(*(t[None, a:b] for t in (q, k, v)), **options)[0] for a, b in ends])

    vendor.npu_fused_infer_attention_score = infer  # type: ignore[attr-defined]
    flash.flash_attn_func, flash.flash_attn_varlen_func = dense, packed  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_npu", vendor)
    monkeypatch.setitem(sys.modules, "flash_attn_npu", flash)
    ran, missing = set(), set()
    for case in TINY:
        inputs = case.tensors("bf16")
        direction = case.directions[-1]
        wanted = measure.reference(case, inputs, direction)
        for name, make in contenders.opponents(case, inputs):
            try:
                ways = make()
            except contenders.Missing:
                missing.add((case.family, name))
                continue
            for way in ways:
                assert measure.difference(case, torch.bfloat16, way.results(direction), wanted) == "", (case, name)
                ran.add((case.family, way.name, way.mode))
    assert len(ran) == 22
    assert missing == {("window", "SDPA"), ("packed", "SDPA")}
    monkeypatch.setitem(sys.modules, "flash_attn_npu", None)
    with pytest.raises(contenders.Missing, match="flash_attn_npu cannot be imported"):
        dict(contenders.opponents(TINY[0], TINY[0].tensors("bf16")))["flash_attn_npu"]()


def test_rounds_alternate() -> None:
    order = []

    def clock(run: Any, calls: int) -> float:
        for _ in range(calls):
            run()
        return {"a": 1.0, "b": 4.0}[order[-1]]

    runs = {name: (lambda name=name: order.append(name)) for name in "ab"}
    times = measure.alternate(runs, measure.Effort(rounds=3, sample=0.004), clock)
    assert times == {"a": [1.0] * 3, "b": [4.0] * 3}
    assert "".join(order) == "ab" + "aaaab" + "baaaa" + "aaaab"


def test_table_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case, decode = TINY[0], TINY[-1]
    rows = [
        (
            case,
            [
                measure.Timed("triangle_attn_op", "forward", "", [3.0, 1.0, 2.0]),
                measure.Timed("SDPA", "forward", "", [4.0]),
                measure.Timed("flash_attn_npu", "", "", note="flash_attn_npu cannot be imported"),
            ],
        ),
        (decode, [measure.Timed("triangle_attn_op", "forward", "", [0.5])]),
    ]
    text = report.markdown(CHIP, "bf16", rows).splitlines()
    assert text[0] == (
        "**Ascend910B2, 24 AI cores, peak 353.9 TFLOP/s at 1.8 GHz; CANN 8.5.0, torch 2.13.0, torch_npu 2.13.0, "
        "triangle_attn_op 0.1.0; bf16**"
    )
    assert "| D | batch | heads | S |  | triangle_attn_op | SDPA |" in text
    assert "| 64 | 2 | 2 | 64 |  | 2.000 / 0 / 0.0% | 4.000 / 0 / 0.0% |" in text
    assert f"| 128 | 2 | 2/1 | 1 x 200 |  | 0.500 / {decode.cache_bytes() / 5e5:.0f} GB/s | - |" in text
    flops = 4 * 64 * 2 * 2 * (64 * 65 // 2)
    assert report.figures(case, rows[0][1][0], CHIP)["tflops"] == pytest.approx(flops / 2e-3 / 1e12)
    content = report.document(CHIP, "bf16", {}, rows, None)
    report.write_json(tmp_path / "a.json", content)
    assert json.loads((tmp_path / "a.json").read_text())["rows"][0]["milliseconds"] == [3.0, 1.0, 2.0]
    report.draw(tmp_path / "a.png", CHIP, "bf16", rows)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    report.Printer(simulated=True)("a\n\nb")
    assert capsys.readouterr().out == "simulated: a\nsimulated:\nsimulated: b\n"
