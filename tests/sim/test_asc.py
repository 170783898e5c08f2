"""Sources with kernels and host code: the rewriting of launches, and whole samples run as programs."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("asc_rewrite", ROOT / "sim" / "cmake" / "asc_rewrite.py")
assert _spec is not None
assert _spec.loader is not None
asc_rewrite = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(asc_rewrite)

LAUNCH = "::ascend_sim::asc::Launch<::ascend_sim::KernelType::"

LAUNCHES = [
    ("k<<<8, nullptr, stream>>>(x, y);", LAUNCH + "kUnset, &k>(8, nullptr, stream)(x, y);"),
    ("k<<<f(a, b)[1], 0>>>();", LAUNCH + "kUnset, &k>(f(a, b)[1], 0)();"),
    ("ns::k<half, 3> <<<n, 0, s>>> (x);", LAUNCH + "kUnset, &ns::k<half, 3>>(n, 0, s) (x);"),
    ("k<f<2>, g<h<1>>><<<n, 0, s>>>(x);", LAUNCH + "kUnset, &k<f<2>, g<h<1>>>>(n, 0, s)(x);"),
    ("if (a) k<<<1, 0, s>>>(x); else\n  j<<<\n2, 0, s>>>(y);", None),
    ("// k<<<1, 0, s>>>()\nprintf(\"<<<%d>>>\", 1); /* <<< */ char c = '<';", ""),
    ("x = 1 << 3; y = a < b;", ""),
]


@pytest.mark.parametrize(("text", "expected"), LAUNCHES)
def test_rewriting(text, expected):
    got = asc_rewrite.rewrite(text, {})
    assert got.count("\n") == text.count("\n")
    if expected is None:
        assert got.count(LAUNCH) == 2
        assert "<<<" not in got
    else:
        assert got == (expected or text)


KERNEL_TYPES = [
    ("__global__ __vector__ void k(int a);", "kAivOnly"),
    ("template <int N>\n__vector__ __global__ void k(int a) {}", "kAivOnly"),
    ('extern "C" __global__ __cube__ void k(int a) {}', "kAicOnly"),
    ("__global__ __mix__(1, 2) __aicore__ void k(int a) {}", "kMix12"),
    ("__mix__( 1 , 1 ) __global__ void k(int a) {}", "kMix11"),
    ("__global__ __aicore__ void k(int a) {}", "kUnset"),
]


@pytest.mark.parametrize(("text", "kind"), KERNEL_TYPES)
def test_kernel_types(text, kind):
    assert asc_rewrite.kernel_types("int f() { return 1; }\n" + text) == {"k": kind}


def test_kernel_types_of_included_files(tmp_path):
    (tmp_path / "kernel.h").write_text("__global__ __cube__ void k(int a) {}\n")
    (tmp_path / "main.asc").write_text('#include "kernel.h"\nvoid f() { k<<<1, 0>>>(2); }\n')
    assert asc_rewrite.main([str(tmp_path / "main.asc"), str(tmp_path / "out" / "main.cpp")]) == 0
    text = (tmp_path / "out" / "main.cpp").read_text()
    assert f'#line 1 "{tmp_path / "main.asc"}"' in text
    assert LAUNCH + "kAicOnly, &k>(1, 0)(2);" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nk<<<1, 0, s(x);", "line 2: <<< has no >>>"),
        ("f() <<<1>>>();", "line 1: expected a kernel's name before <<<"),
    ],
)
def test_launches_that_cannot_be_read(text, message, tmp_path, capsys):
    with pytest.raises(asc_rewrite.RewriteError, match=message):
        asc_rewrite.rewrite(text, {})
    (tmp_path / "a.asc").write_text(text)
    assert asc_rewrite.main([str(tmp_path / "a.asc"), str(tmp_path / "a.cpp")]) == 1
    assert message in capsys.readouterr().err


NAMES = """
#include <cstdio>
#include "ascend_sim/asc_launch.h"
enum class Kind { kA, kB };
namespace ns {
template <unsigned n, bool flag> void add(float*) {}
template <Kind kind, class T, long n> void cast(T*) {}
}
namespace { void plain(int) {} }
int main() {
  using ascend_sim::asc::KernelName;
  std::puts(KernelName<&ns::add<2048, false>>());
  std::puts(KernelName<&ns::add<2048, true>>());
  std::puts(KernelName<&ns::cast<Kind::kB, float, -4>>());
  std::puts(KernelName<&plain>());
}
"""


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_every_instance_of_a_template_has_its_name(compiler, tmp_path):
    """By which a launch finds it: two with one name, and the other one would run."""
    known = [compiler, *(f"{compiler}-{n}" for n in range(20, 13, -1))]
    found = next((c for c in known if shutil.which(c)), None)
    assert found is not None, "apt-get install clang-15 (.ci/run does)"
    (tmp_path / "names.cpp").write_text(NAMES)
    flags = ["-std=c++17", "-D__DAV_C220_VEC__=1", f"-I{ROOT / 'sim/include'}", f"-I{ROOT / 'sim'}"]
    subprocess.run([found, *flags, "names.cpp", "-o", "names"], cwd=tmp_path, check=True)
    assert subprocess.check_output([tmp_path / "names"], text=True).split("\n") == [
        "ns::add<2048, false>",
        "ns::add<2048, true>",
        "ns::cast<(Kind)1, float, -4>",
        "plain",
        "",
    ]


def run(program: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, env=env, timeout=120)


@pytest.mark.parametrize("order", ["eager", "lazy", "random"])
def test_vector_sample(sample, order):
    done = run(sample("vector"), ASCEND_SIM_ORDER=order, ASCEND_SIM_AUTO_SYNC="0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split("\n") == [f"{k}: pass" for k in ("add_static", "add_queue", "double_rows", "sum_rows")] + [
        ""
    ]
    assert done.stderr == ""


@pytest.mark.parametrize("order", ["eager", "lazy", "random"])
def test_cube_sample(sample, order):
    done = run(
        sample("cube"), ASCEND_SIM_ORDER=order, ASCEND_SIM_SEED="3", ASCEND_SIM_AUTO_SYNC="0", ASCEND_SIM_POISON="1"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": pass") == 4
    assert done.stderr == ""


def test_findings_end_the_program_with_an_error(sample, tmp_path):
    report = tmp_path / "report.jsonl"
    done = run(sample("vector"), "broken", ASCEND_SIM_REPORT=str(report))
    assert done.returncode == 86
    assert "add_static<2048, false><<<4>>>: 2 findings" in done.stderr
    assert "race.read-after-write (ErrorSync2)" in done.stderr
    assert "SetFlag/WaitFlag<MTE2_V> is missing" in done.stderr
    source = (ROOT / "tests/sim/samples/vector.asc").read_text().splitlines()
    line = next(i for i, text in enumerate(source, 1) if "Add(c, a, b, length)" in text)
    assert f"vector.asc:{line}: " in done.stderr
    data = json.loads(report.read_text())
    assert data["completed"]
    assert {f["rule"] for f in data["findings"]} == {"race.read-after-write"}


def test_settings_come_from_the_environment(sample):
    done = run(sample("vector"), ASCEND_SIM_SOC="Ascend999")
    assert done.returncode != 0
    assert "soc: unknown chip 'Ascend999'" in done.stderr


def test_acl_error_codes(sample):
    done = run(sample("vector"), "errors")
    assert done.stdout == "0 wrong\n"
    assert done.returncode == 86
    assert "add_queue<<<1>>>: 1 findings" in done.stderr
    assert "out-of-bounds-read (ErrorRead3)" in done.stderr
    assert "of GM 'device memory 0', which has 32 bytes" in done.stderr
