"""scripts/check_cann.py: the kernels compiled with the headers of a real CANN, where one is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "check_cann.py"


def run(*arguments: str, home: str | None = None) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "ASCEND_HOME_PATH"}
    if home is not None:
        env["ASCEND_HOME_PATH"] = home
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, env=env)


def test_needs_a_home():
    done = run()
    assert done.returncode == 2
    assert "ASCEND_HOME_PATH is not set" in done.stderr


def test_a_home_without_headers(tmp_path):
    done = run(home=str(tmp_path))
    assert done.returncode == 2
    assert "found no CANN headers" in done.stderr


def test_reports_what_does_not_compile(tmp_path):
    """On a stand-in for the headers of 8.x: one function, whose types the kernels must meet."""
    api = tmp_path / "x-linux" / "ascendc" / "include" / "basic_api"
    (api / "interface").mkdir(parents=True)
    (api / "interface" / "kernel_tpipe.h").write_text("")
    (api / "kernel_operator.h").write_text("#ifdef __DAV_C220_VEC__\ninline void OnlyVector(int*) {}\n#endif\n")
    debug = tmp_path / "tools" / "tikicpulib" / "lib" / "include"
    debug.mkdir(parents=True)
    (debug / "tikicpulib.h").write_text("")
    (debug / "stub_fun.h").write_text("")
    good, bad, newer, own = (tmp_path / f"{name}.cpp" for name in ("good", "bad", "newer", "own"))
    good.write_text(
        '#include "kernel_operator.h"\nvoid k(int* x) {\n#ifdef __DAV_C220_VEC__\n  OnlyVector(x);\n#endif\n}\n'
    )
    bad.write_text('#include "kernel_operator.h"\nvoid k(float* x) { OnlyVector(x); }\n')
    newer.write_text("// check_cann: 9.x\n#error\n")
    own.write_text("// check_cann: no, because of its name\n#error\n")
    done = run(*map(str, (good, newer, own)), home=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "accepted good.cpp with 8.x for AIC",
        "accepted good.cpp with 8.x for AIV",
        "skipped  newer.cpp with 8.x: needs 9.x",
        "skipped  own.cpp: no, because of its name",
    ]
    done = run(str(bad), home=str(tmp_path))
    assert done.returncode == 1
    assert "FAILED  bad.cpp with 8.x for AIC" in done.stdout
    assert "was not declared" in done.stdout
    assert "FAILED  bad.cpp with 8.x for AIV" in done.stdout
    assert "cannot convert" in done.stdout


def test_kernels_compile_with_cann():
    home = os.environ.get("ASCEND_HOME_PATH")
    if not home:
        pytest.skip("ASCEND_HOME_PATH is not set: the kernels were not compiled with CANN's headers")
    done = run(home=home)
    assert done.returncode == 0, done.stdout + done.stderr
