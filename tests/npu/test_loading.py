"""What the first call on an NPU finds: the kernels' library, its version, the CANN that runs and the chip.

An error says what is missing and what to do; nothing is remembered, so the next call tries again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

# A process that makes one call after another, each under another TRIANGLE_ATTN_NPU_LIBRARY, and prints what came.
CALLS = """
    import json, os
    import torch, torch_npu, triangle_attn_op

    q = torch.randn(1, 2, 8, 16).half()
    triangle_attn_op.triangle_attention(q, q, q)
    assert "libtriangle_attn_npu" not in open("/proc/self/maps").read(), "loaded before the first call on an NPU"
    q = q.npu()
    for library in json.loads(os.environ["LIBRARIES"]):
        os.environ["TRIANGLE_ATTN_NPU_LIBRARY"] = library
        try:
            triangle_attn_op.triangle_attention(q, q, q)
            said = "no error"
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        print("SAID", json.dumps(said))
"""


def calls(npu_process: Any, libraries: list[str], **environment: str) -> tuple[list[str], list[str]]:
    """What each call said, and the warnings of ours on stderr, which is where torch puts those of operators."""
    done = npu_process(CALLS, LIBRARIES=json.dumps(libraries), **environment)
    assert done.code == 0, done.err
    said = [json.loads(line.removeprefix("SAID ")) for line in done.out.splitlines() if line.startswith("SAID ")]
    assert len(said) == len(libraries), done.out
    return said, [line for line in done.err.splitlines() if "Warning: triangle_attn_op: npu: " in line]


def stand_in(folder: Path, name: str, *, abi: str = "triangle::kNpuAbi", build: str = "", code: str = "0") -> str:
    """A library with the entry points and no kernel; it says what it was built with, and launches return `code`, where
    `calls` is the number of the call.
    """
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    root = Path(__file__).parents[2]
    source = folder / f"{name}.cpp"
    source.write_text(
        '#include "op_kernel/launch.h"\n'
        f"int32_t triangle_npu_abi(void) {{ return {abi}; }}\n"
        f'const char* triangle_npu_build(void) {{ return "{build}"; }}\n'
        "static int calls = 0;\n"
        "int32_t triangle_npu_forward(int32_t, int32_t, uint32_t, const TriangleForwardPointers*,\n"
        f"                             const TriangleForwardTiling*, void*) {{ ++calls; return {code}; }}\n"
        "int32_t triangle_npu_backward(int32_t, uint32_t, const TriangleBackwardPointers*,\n"
        f"                              const TriangleBackwardTiling*, void*) {{ ++calls; return {code}; }}\n"
        "int32_t triangle_npu_cache(int32_t, int32_t, uint32_t, const TriangleCachePointers*,\n"
        f"                           const TriangleCacheTiling*, void*) {{ ++calls; return {code}; }}\n"
    )
    library = folder / f"{name}.so"
    subprocess.run([compiler, "-std=c++17", "-shared", "-fPIC", f"-I{root}", source, "-o", library], check=True)
    return str(library)


@pytest.mark.simulated  # it names the CANN that the simulator claims to be
def test_libraries_that_cannot_serve(npu_process: Any, tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("not a library")
    empty = tmp_path / "empty.so"
    subprocess.run(["cc", "-shared", "-xc", "/dev/null", "-o", empty], check=True)
    good = os.environ["TRIANGLE_ATTN_NPU_LIBRARY"]
    libraries = {
        str(
            tmp_path / "nowhere.so"
        ): 'TRIANGLE_ATTN_NPU_LIBRARY: expected the path of a libtriangle_attn_npu.so, got "',
        str(tmp_path / "text.so"): "text.so cannot be loaded with the CANN that runs (8.5.0): ",
        str(empty): "empty.so is not a libtriangle_attn_npu.so: it has no triangle_npu_abi",
        stand_in(tmp_path, "older", abi="7"): "belongs to another version of triangle_attn_op: expected ABI ",
        stand_in(tmp_path, "newer", build="cann=9.1.0-beta.2;way=asc;arch=dav-2201"): "9.1.0-beta.2",
    }
    said, warnings = calls(npu_process, [*libraries, good])
    for text, expected in zip(said, libraries.values()):
        assert text.startswith(("RuntimeError: ", "ValueError: ")), text
        assert expected in text
    assert "8.5.0" in said[4]
    assert said[5] == "no error"
    assert warnings == []


@pytest.mark.simulated
def test_no_library_says_which_wheel(npu_process: Any, tmp_path: Path) -> None:
    """A CPU-only installation: a copy of the package without lib/."""
    import triangle_attn_op

    package = Path(triangle_attn_op.__file__).parent
    shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("lib", "__pycache__"))
    source = """
        import os, sys
        sys.path.insert(0, os.environ["COPY"])
        import torch, torch_npu, triangle_attn_op
        assert triangle_attn_op.__file__.startswith(sys.path[0])
        q = torch.randn(1, 2, 8, 16).half().npu()
        try:
            torch.ops.triangle.attn(q, q, q)
        except RuntimeError as error:
            print(error)
        triangle_attn_op.triangle_attention(q.cpu(), q.cpu(), q.cpu())
        print(triangle_attn_op.last_backend())
    """
    done = npu_process(source, COPY=str(tmp_path), TRIANGLE_ATTN_NPU_LIBRARY="")
    assert done.code == 0, done.err
    message, backend = done.out.strip().splitlines()
    assert "npu: this installation is CPU-only" in message
    assert "Install the wheel for your CANN (8.5.0), triangle_attn_op-<version>+cann8.5.0-*.whl" in message
    assert "TRIANGLE_ATTN_NPU_LIBRARY" in message
    assert backend.startswith("cpu/")


@pytest.mark.simulated
def test_another_cann_that_may_work_is_a_warning(npu_process: Any, tmp_path: Path) -> None:
    """Said once. And kernels that CANN refuses are an error of each call that wants them, with the code: torch_npu's
    queue of launches goes on, and there is no result that nobody wrote.
    """
    library = stand_in(tmp_path, "near", build="cann=8.5.0;way=asc;arch=dav-2201", code="507899")
    said, warnings = calls(npu_process, [library] * 3, ASCEND_SIM_CANN="8.5.1")
    assert said == ["RuntimeError: npu: the launch of the forward kernel failed: ACL error 507899"] * 3
    assert len(warnings) == 1
    assert "8.5.0" in warnings[0]
    assert "8.5.1" in warnings[0]


@pytest.mark.simulated
@pytest.mark.parametrize("soc", ["Ascend310P3", "Ascend950PR_9579"])
def test_chips_of_another_architecture_are_named(soc: str, npu_process: Any) -> None:
    done = npu_process(
        """
        import torch, torch_npu, triangle_attn_op
        print(triangle_attn_op.backends.npu())
        """,
        ASCEND_SIM_SOC=soc,
    )
    assert done.code == 0, done.err
    said = done.out.strip()
    assert said.startswith("error: triangle_attn_op: npu: the kernels are built for dav-2201 (Atlas A2 and A3"), said
    assert said.endswith(f"got {soc}")


@pytest.mark.simulated
def test_warm_up_launches_every_kernel(npu_process: Any) -> None:
    done = npu_process("import torch, torch_npu, triangle_attn_op; triangle_attn_op.warm_up()")
    assert done.code == 0, done.err
    kernels = {f"triangle_attn_fwd_{t}_{d}" for t in ("fp16", "bf16") for d in (128, 256)}
    kernels |= {f"triangle_attn_fwd_bent_{t}_{d}" for t in ("fp16", "bf16") for d in (128, 256)}
    kernels |= {f"triangle_attn_fwd_intervals_{t}_{d}" for t in ("fp16", "bf16") for d in (128, 256)}
    kinds = ("", "_bent", "_bent_rows", "_intervals")
    kernels |= {f"triangle_attn_bwd{kind}_{t}" for kind in kinds for t in ("fp16", "bf16")}
    kernels |= {f"triangle_attn_cache_{t}_{d}" for t in ("fp16", "bf16") for d in (128, 256)}
    kernels |= {"triangle_attn_cache_append", "triangle_attn_intervals"}
    assert {launch["kernel"] for launch in done.launches()} == kernels
