"""The benchmark's whole command through torch_npu on the emulated runtime, small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from triangle_attn_op.npu_bench.cases import TINY, cases

RUN = """
    import sys, torch, torch_npu
    from triangle_attn_op.npu_bench.__main__ import main
    assert main(["--tiny"]) == 0
    assert main(["--calibrate", "chip.json"]) == 0
"""


@pytest.mark.simulated
def test_whole_command(npu_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = npu_process(RUN)
    assert done.code == 0, done.err
    assert all(line.startswith("simulated:") for line in done.out.splitlines())
    launches = done.launches()
    assert not any(launch["findings"] for launch in launches)
    assert {"triangle_measure", "triangle_attn_fwd_bf16_128", "triangle_attn_bwd_bf16"} <= {
        launch["kernel"] for launch in launches
    }
    content = json.loads((tmp_path / "npu_bench.json").read_text())
    assert content["simulated"] is True
    measured = {(row["family"], row["direction"]) for row in content["rows"] if row["milliseconds"]}
    assert measured == {(case.family, direction) for case in cases(TINY) for direction in case.directions}
    assert (tmp_path / "npu_bench.png").stat().st_size > 10000
    found = json.loads((tmp_path / "chip.json").read_text())
    # As the model has them: published or fitted, docs/simulator-timing.md.
    for name, value in {"ghz": 1.8, "fixpipe_bytes_per_cycle": 128, "cross_flag_latency_cycles": 100}.items():
        assert found[name] == pytest.approx(value, rel=0.02), name


def test_arguments_exist_in_this_torch_npu() -> None:
    """Of the vendor's operators, by their schemas: the emulated runtime cannot run them."""
    import torch_npu  # noqa: F401

    for name, wanted in {
        "npu_fusion_attention": (
            "head_num input_layout atten_mask scale keep_prob pre_tockens next_tockens sparse_mode actual_seq_qlen "
            "actual_seq_kvlen"
        ),
        "npu_fused_infer_attention_score": "num_heads num_key_value_heads input_layout scale",
    }.items():
        schema = getattr(torch.ops.npu, name).default._schema
        assert set(wanted.split()) <= {argument.name for argument in schema.arguments}, name
