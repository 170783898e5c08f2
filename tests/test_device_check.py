"""scripts/check_device.py: kernels that only look right to g++ must fail it, with a message that says why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "check_device.py"
sys.path.insert(0, str(ROOT / "scripts"))
from device_check.budgets import Measure  # noqa: E402
from device_check.clang import INSTALL, Clang  # noqa: E402
from device_check.main import check  # noqa: E402
from device_check.units import unit_of  # noqa: E402

HOST = "__host__ function"
# Before the kernel, inside of it (x and y are GM_ADDR), and what the check says; for AIV unless the name says AIC.
BAD = {
    "host function": ("int twice(int a) { return 2 * a; }", "y[0] = twice(x[0]);", HOST),
    "constexpr host function": (
        "constexpr int twice(int a) { return 2 * a; }",
        "y[0] = twice(x[0]);",
        HOST,
    ),
    "host constructor": (
        "struct S { S(int a) : b(a) {} int b; };",
        "S s(x[0]); y[0] = s.b;",
        HOST,
    ),
    "host method": (
        "struct S { int b = 1; int get() const { return b; } };",
        "S s; y[0] = s.get();",
        HOST,
    ),
    "host operator": (
        "struct S { int b; }; bool operator<(const S& l, const S& r) { return l.b < r.b; }",
        "S s{x[0]}, t{x[1]}; y[0] = s < t;",
        HOST,
    ),
    "host lambda": (
        "const auto twice = [](int a) { return 2 * a; };",
        "y[0] = twice(x[0]);",
        "a lambda, which is the host's",
    ),
    "lambda": (
        "",
        "const auto twice = [](int a) { return 2 * a; }; y[0] = twice(x[0]);",
        "a lambda, which is the host's",
    ),
    "virtual": (
        "struct S { __aicore__ virtual int get() { return 1; } }; __aicore__ int get(S& s) { return s.get(); }",
        "S s; y[0] = get(s);",
        "virtual functions",
    ),
    "std::min": ("#include <algorithm>", "y[0] = std::min(x[0], x[1]);", HOST),
    "std::array": (
        "#include <array>",
        "std::array<int, 2> a{1, 2}; y[0] = a[x[0]];",
        HOST,
    ),
    "list without its header": (
        "",
        "for (const bool b : {true, false}) y[b] = x[b];",
        "std::initializer_list was not found",
    ),
    "std::initializer_list": (
        "#include <initializer_list>",
        "for (const bool b : {true, false}) y[b] = x[b];",
        HOST,
    ),
    "memcpy": ("#include <cstring>", "int a = 1, b; memcpy(&b, &a, 4); y[0] = b;", HOST),
    "sqrtf": ("#include <cmath>", "y[0] = sqrtf(x[0]);", HOST),
    "sqrtf as a builtin": ("", "y[0] = __builtin_sqrtf(x[0]);", "llvm.sqrt.f32: a function of the host's library"),
    "throw": ("", "if (x[0]) throw 1;", "cannot use 'throw' in __global__ function"),
    "dynamic initialisation": (
        "__aicore__ int make(); __attribute__((device)) int made = make();",
        "y[0] = made;",
        "dynamic initialization is not supported",
    ),
    "host global": ("int count = 0;", "y[0] = count;", "reference to __host__ variable 'count'"),
    "global": ("__attribute__((device)) int count = 0;", "y[0] = count++;", "count: a global that can be written"),
    "GM pointer as a generic one": (
        "",
        "const uint8_t* p = x; y[0] = *p;",
        "cannot initialize a variable of type 'const uint8_t *'",
    ),
    "GM pointer to a function of generic ones": (
        "__aicore__ int get(const uint8_t* p) { return *p; }",
        "y[0] = get(x);",
        "no matching function for call to 'get'",
    ),
    "GM reference as a generic one": ("", "const uint8_t& r = x[0]; y[0] = r;", "changes address space"),
    "struct copied from GM": (
        "struct S { int a, b; };",
        "S s = *reinterpret_cast<__gm__ S*>(x); y[0] = s.b;",
        "no matching constructor for initialization of 'S'",
    ),
    "method on a GM object": (
        "struct S { int b; __aicore__ int get() const { return b; } };",
        "y[0] = reinterpret_cast<__gm__ S*>(x)->get();",
        "cannot initialize object parameter",
    ),
    "cast between memories": ("", "auto p = reinterpret_cast<__ubuf__ uint8_t*>(x); *p = 1;", "reinterpret_cast from"),
    "C cast between memories": (
        "",
        "auto p = (__ubuf__ uint8_t*)x; *p = 1;",
        "a pointer cast from one memory to another",
    ),
    "C cast to a generic pointer": ("", "auto p = (uint8_t*)x; *p = 1;", "a pointer cast from one memory to another"),
    "two declarators of GM_ADDR": (
        "",
        "GM_ADDR a = x, b = y; *b = *a;",
        "automatic variable qualified with an address space",
    ),
    "cube instruction on AIV": (
        "",
        "AscendC::LocalTensor<float> c; AscendC::LocalTensor<half> a; AscendC::Mmad(c, a, a, AscendC::MmadParams());",
        "an instruction of the cube core, in code of a vector core",
    ),
    "vector instruction on AIC": (
        "",
        "AscendC::LocalTensor<float> a; AscendC::Add(a, a, a, 64);",
        "an instruction of the vector cores, in code of the cube core",
    ),
    "recursion": (
        "__aicore__ int odd(int a); __aicore__ int even(int a) { return a == 0 ? 1 : odd(a - 1); }"
        " __aicore__ int odd(int a) { return a == 0 ? 0 : even(a - 1); }",
        "y[0] = even(x[0]);",
        "recursion: even(int) calls odd(int) calls even(int)",
    ),
    "array of variable length": ("", "int a[x[0]]; a[1] = 2; y[0] = a[x[1]];", "an array of variable length"),
    "new": ("", "int* p = new int(3); y[0] = *p;", "operator new(unsigned long): memory from the host's allocator"),
    "static local": ("", "static int count = 0; y[0] = ++count;", "count: a static local"),
    "double": ("", "const float a = x[0]; y[0] = a * 0.5;", "double precision"),
    "function pointer": (
        "__aicore__ int one(int a) { return a; } __aicore__ int two(int a) { return 2 * a; }",
        "int (*f)(int) = x[0] ? one : two; y[0] = f(x[1]);",
        "a call through a pointer to a function",
    ),
}
# The good twins, all in one kernel.
GOOD = (
    "struct S { __aicore__ S(int a) : b(a) {} __aicore__ int get() const { return b; } int b; };\n"
    "__aicore__ constexpr int twice(int a) { return 2 * a; }\n"
    "__aicore__ bool operator<(const S& l, const S& r) { return l.b < r.b; }\n"
    "__aicore__ int get(const __gm__ uint8_t* p) { return *p; }\n"
    "__aicore__ inline void add(AscendC::LocalTensor<float> a) { AscendC::Add(a, a, a, 64); }\n"  # never called on AIC
    "constexpr int kCount = 3;\n",
    """S s(x[0]); const S t(x[1]); GM_ADDR a = x; GM_ADDR b = y;
  b[0] = twice(s.get()) + (s < t) + get(a) + kCount;
  auto p = reinterpret_cast<__gm__ float*>(x); const __gm__ float& r = p[1]; b[1] = r * 0.5f;
  int list[] = {1, 2}; for (int i : list) b[i] = x[i];
  AscendC::LocalTensor<float> c; AscendC::LocalTensor<half> f;
  if ASCEND_IS_AIC { AscendC::Mmad(c, f, f, AscendC::MmadParams()); } else { add(c); }""",
)


@pytest.fixture(scope="module")
def clang() -> Clang:
    found = Clang.find()
    if found is None:
        assert os.environ.get("CI") != "true", f"no clang: {INSTALL}"
        pytest.skip(f"no clang: {INSTALL}")
    return found


def outcome(
    clang: Clang, folder: Path, before: str, inside: str, core: str = "AIV", arguments: str = "", measured: bool = False
) -> tuple[list[str], dict[str, Measure]]:
    """What the check says of a kernel, and its figures."""
    source = folder / "kernel.cpp"
    source.write_text(
        f'#include "kernel_operator.h"\n{before}\n'
        f'extern "C" __global__ __aicore__ void kernel(GM_ADDR x, GM_ADDR y{arguments}) {{\n  {inside}\n}}\n'
    )
    return check(clang, unit_of(source, core, (), measured), core)


@pytest.mark.parametrize("name", BAD)
def test_bad_kernel(clang: Clang, tmp_path: Path, name: str) -> None:
    before, inside, message = BAD[name]
    wrong, _ = outcome(clang, tmp_path, before, inside, "AIC" if name.endswith("AIC") else "AIV")
    assert any(message in line for line in wrong), wrong


@pytest.mark.parametrize("core", ["AIC", "AIV"])
def test_good_kernel(clang: Clang, tmp_path: Path, core: str) -> None:
    wrong, figures = outcome(clang, tmp_path, *GOOD, core, measured=True)
    assert wrong == []
    assert list(figures) == ["kernel"]
    assert figures["kernel"].arguments == 16


def test_findings_have_places(clang: Clang, tmp_path: Path) -> None:
    wrong, _ = outcome(clang, tmp_path, "", "const float a = x[0];\n  y[0] = a * 0.5;")
    assert wrong[0].startswith(f"{tmp_path / 'kernel.cpp'}:5: double precision")


@pytest.mark.parametrize("core", ["host", "AIV"])
def test_a_launch(clang: Clang, tmp_path: Path, core: str) -> None:
    """Host code beside a kernel, in the host's pass and in the device's: its types must fit what the kernel takes."""
    source = tmp_path / "launch.asc"
    start = (
        '#include "kernel_operator.h"\n__aicore__ inline int twice(int a) { return 2 * a; }\n'
        'extern "C" __global__ __aicore__ void kernel(GM_ADDR x, GM_ADDR y) { y[0] = twice(x[0]); }\n'
        "GM_ADDR device(const void* p) { return (GM_ADDR) const_cast<void*>(p); }\n"
        "void launch(const void* p, void* stream) { "
    )

    def errors(inside: str) -> list[str]:
        source.write_text(start + inside + " }\n")
        return check(clang, unit_of(source, core, (), False), core)[0]

    assert errors("GM_ADDR x = device(p); GM_ADDR y = device(p); kernel<<<20, nullptr, stream>>>(x, y);") == []
    assert "with an address space" in errors("GM_ADDR x = device(p), y = device(p); kernel<<<1, 0, stream>>>(x, y);")[0]
    assert "cannot initialize a parameter" in errors("kernel<<<1, 0, stream>>>(p, p);")[0]
    assert "call to __device__ function from __host__ function" in errors("kernel<<<twice(1), 0, stream>>>(0, 0);")[0]


def test_budgets(clang: Clang, tmp_path: Path) -> None:
    """Each figure of a kernel that exceeds it, and of what it calls."""
    before = (
        "struct Words { uint64_t words[600]; };\n"
        "__attribute__((noinline)) __aicore__ int64_t deep(__gm__ int64_t* p) {\n"
        "  int64_t a[2000]; for (int i = 0; i < 2000; ++i) a[i] = p[i]; return a[p[5]] / p[0]; }\n"
        + "".join(
            f"__attribute__((noinline)) __aicore__ int64_t f{i}(__gm__ int64_t* p) {{ return f{i - 1}(p) % p[{i}]; }}\n"
            if i
            else "__attribute__((noinline)) __aicore__ int64_t f0(__gm__ int64_t* p) { return deep(p) + 1; }\n"
            for i in range(12)
        )
    )
    inside = "auto p = reinterpret_cast<__gm__ int64_t*>(x); p[0] = f11(p); p[1] /= 16; p[words.words[7]] = 1;"
    inside += " p[2] = f11(p) + deep(p);"
    inside += ' asm volatile(".zero 50000");'
    wrong, figures = outcome(clang, tmp_path, before, inside, arguments=", Words words", measured=True)
    taken = figures["kernel"]
    assert 50000 < taken.code < 52000
    assert 16000 < taken.stack < 17000
    assert (taken.arguments, taken.depth, taken.divisions) == (4816, 14, 15)  # f1 to f10, twice f11 and deep, and p[1]
    assert [line.split(":")[1].strip() for line in wrong] == ["code", "stack", "arguments", "depth", "divisions"]
    assert "kernel: divisions: 15 64-bit divisions, at most 8 expected" in wrong


def test_code_without_the_api_has_a_smaller_budget(tmp_path: Path) -> None:
    """With our own declarations room is left for what the bodies of CANN's API add."""
    source = tmp_path / "kernel.cpp"
    source.write_text(
        '#include "kernel_operator.h"\nextern "C" __global__ __aicore__ void kernel(GM_ADDR x) '
        '{ asm volatile(".zero 37000"); }\n'
    )
    environment = {name: value for name, value in os.environ.items() if name != "ASCEND_HOME_PATH"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--measure", str(source)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "bytes, at most 36864 expected" in done.stdout


def test_an_argument_that_is_no_pod(clang: Clang, tmp_path: Path) -> None:
    wrong, _ = outcome(clang, tmp_path, "struct S { int a = 1; };", "y[0] = s.a;", arguments=", S s", measured=True)
    assert "an argument of kernel is no POD" in wrong[0]


def test_without_clang(tmp_path: Path) -> None:
    environment = {**os.environ, "CLANG": str(tmp_path / "none")}
    environment.pop("CI", None)
    for extra, code in (({}, 0), ({"CI": "true"}, 1)):
        done = subprocess.run(
            [sys.executable, str(SCRIPT)], env={**environment, **extra}, capture_output=True, text=True
        )
        assert done.returncode == code
        assert "no clang found: apt-get install clang-15" in done.stderr


# Headers in CANN's dialect, as an installation has them: an instruction in the list of its CPU debugging, one that the
# vector registers of a later chip have, and a call.
HEADERS = {
    "x-linux/ascendc/include/basic_api/interface/kernel_tpipe.h": "",
    "x-linux/ascendc/include/basic_api/kernel_operator.h": "#pragma once\n#define GM_ADDR __gm__ uint8_t*\n"
    "namespace AscendC {\n"
    '[aicore] inline void Barrier(const __gm__ char* text = "") { pipe_barrier(PIPE_V); }\n}\n',
    "x-linux/ascendc/include/highlevel_api/readme.h": "",
    "x-linux/compiler/include/cce_aicore_intrinsics.h": "typedef enum { PIPE_S, PIPE_V } pipe_t;\n",
    "tools/tikicpulib/lib/include/stub_fun.h": "void pipe_barrier(pipe_t pipe);\nvoid vadd(vector_f32 a);\n",
}


def test_headers_of_a_cann(clang: Clang, tmp_path: Path) -> None:
    home = tmp_path / "cann"
    for name, text in HEADERS.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    source = tmp_path / "kernel.cpp"
    start = (
        '#include "kernel_operator.h"\nextern "C" __global__ __aicore__ void kernel(GM_ADDR x) { AscendC::Barrier(); '
    )

    def outcome_with(inside: str) -> subprocess.CompletedProcess[str]:
        source.write_text(start + inside + " }\n")
        command = [sys.executable, str(SCRIPT), "--headers", str(home), str(source)]
        return subprocess.run(command, capture_output=True, text=True)

    done = outcome_with("x[0] = 1;")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"accepted {source} (cann/x-linux) for AIC\naccepted {source} (cann/x-linux) for AIV\n" in done.stdout
    done = outcome_with("uint8_t* p = x;")
    assert done.returncode == 1
    assert "cannot initialize a variable of type 'uint8_t *'" in done.stdout
    (home / "tools/tikicpulib/lib/include/stub_fun.h").unlink()
    done = outcome_with("")
    assert done.returncode == 1
    assert "stub_fun.h and cce_aicore_intrinsics.h: not found; name an 8.x toolkit" in done.stderr
    (home / "x-linux/ascendc/include/basic_api/interface/kernel_tpipe.h").unlink()
    assert "found no headers of CANN" in outcome_with("").stderr
