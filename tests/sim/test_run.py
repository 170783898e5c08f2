"""The front door: a kernel or a program from its source to numbers, findings and an exit code; bad input; the cache."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ADD = """
#include "kernel_operator.h"
#include "length.h"
using namespace AscendC;
extern "C" __global__ __aicore__ void add(GM_ADDR x, GM_ADDR y, GM_ADDR out, int32_t twice) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GlobalTensor<float> gx, gy, gout;
  gx.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x) + GetBlockIdx() * kLength);
  gy.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(y) + GetBlockIdx() * kLength);
  gout.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out) + GetBlockIdx() * kLength);
  LocalTensor<float> a(TPosition::VECIN, 0, kLength), b(TPosition::VECIN, 4096, kLength);
  DataCopy(a, gx, kLength);
  DataCopy(b, gy, kLength);
  SetFlag<HardEvent::MTE2_V>(EVENT_ID0); WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);  // line 14
  for (int32_t i = 0; i < (twice != 0 ? 2 : 1); ++i) {
    Add(a, a, b, kLength);
    PipeBarrier<PIPE_V>();
  }
  SetFlag<HardEvent::V_MTE3>(EVENT_ID0); WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
  DataCopy(gout, a, kLength);
  PipeBarrier<PIPE_ALL>();
}
template <typename T>
__global__ __aicore__ void shape_of(GM_ADDR out) {}
__global__ __aicore__ void untyped(GM_ADDR out) {}
"""
ARGS = ["in:x.npy", "in:float[2,512]=ones", "out:float[2,512]=sum.npy", "int32:1"]


@pytest.fixture(scope="module")
def engine(kernels: Any, sample: Any) -> Path:
    """The simulator and the AscendCL that the other tests run on: none is compiled here."""
    sample("vector")
    path: Path = kernels("vector_add").path.parent / "sim" / "libascend_sim.so"
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(engine: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Any:
    """run(*words) is `ascend_sim run *words` in a folder with add.cpp: exit code, stdout, stderr."""
    from ascend_sim.command import run_command as main

    monkeypatch.setenv("ASCEND_SIM_LIBRARY", str(engine))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.chdir(tmp_path)
    sources = cache / "sources"  # at one place, so that every test finds it compiled
    sources.mkdir(exist_ok=True)
    if not (sources / "add.cpp").exists():
        (sources / "add.cpp").write_text(ADD)
        (sources / "length.h").write_text("constexpr int kLength = 512;\n")
    np.save("x.npy", np.arange(1024, dtype=np.float32).reshape(2, 512))

    def call(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(["run", *(str(sources / word) if word == "add.cpp" else word for word in words)])
        return code, *capfd.readouterr()

    call.sources = sources  # type: ignore[attr-defined]
    return call


def test_a_kernel(run: Any) -> None:
    code, out, err = run(
        "add.cpp", "--kernel", "add", "--blocks", "2", "--args", *ARGS, "--trace", "t.json", "--png", "p.png"
    )
    assert code == 0, out + err
    np.testing.assert_array_equal(np.load("sum.npy"), np.arange(1024).reshape(2, 512) + 2)
    assert "add<<<2>>> on Ascend910B2\n  out      float32[2,512]  first 2 3 4 5 6 7" in out
    assert "findings: none" in out
    assert "(modelled, not measured)" in out
    assert Path("t.json").stat().st_size > 0
    assert Path("p.png").stat().st_size > 0
    code, out, err = run(
        "add.cpp", "--kernel", "add", "--blocks", "2", "--args", *ARGS, "--ignore-site", "add.cpp:14 -> add.cpp:14"
    )
    assert code == 1
    assert "add.cpp:16: race.read-after-write (ErrorSync2): Add (aiv0, PIPE_V) reads bytes [0, 2048) of UB" in out
    assert err == ""  # compiled before
    code, out, _ = run("add.cpp", "--kernel", "add", "--timing-only", "--soc", "Ascend910B4", "--args", *ARGS)
    assert code == 0
    assert "Ascend910B4: " in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["add.cpp", "--kernel", "ad"], "kernel 'ad' is not in add.cpp; kernels there: add, shape_of, untyped"),
        (["add.cpp"], "--kernel: expected one of add, shape_of, untyped"),
        (["add.cpp", "--kernel", "shape_of"], "kernel 'shape_of' is a template: name an instance, such as shape_of<"),
        (
            ["add.cpp", "--kernel", "add", "--args", *ARGS, "--soc", "Ascend310"],
            "soc: unknown chip 'Ascend310'; known: ",
        ),
        (["add.cpp", "--kernel", "add", "--args", *ARGS[:3]], "'add' takes 4 (x, y, out, twice), got 3"),
        (["add.cpp", "--kernel", "add", "--args", "in:none.npy", *ARGS[1:]], "argument 0 (x): 'in:none.npy': "),
        (
            ["add.cpp", "--kernel", "add", "--args", "int32:1", *ARGS[1:]],
            "argument 0 (x): 'int32:1': the kernel takes a",
        ),
        (
            ["add.cpp", "--kernel", "add", "--args", "in:flaot[2]", *ARGS[1:]],
            "(x): 'in:flaot[2]': unknown type 'flaot'",
        ),
        (
            ["add.cpp", "--kernel", "add", "--args", *ARGS[:3], "int64:1"],
            "argument 3 (twice): 'int64:1': int64 has 8 b",
        ),
        (
            ["add.cpp", "--kernel", "add", "--args", *ARGS[:3], "in:x.npy"],
            "argument 3 (twice): 'in:x.npy': an array, but",
        ),
        (["add.cpp", "--kernel", "add", "--args", *ARGS, "--set", "ghz"], "--set: expected name=number, got 'ghz'"),
        (["add.cpp", "--kernel", "add", "--args", *ARGS, "--set", "warp=1"], "unknown SoC parameter in 'warp=1.0'"),
        (["add.cpp", "--kernel", "untyped", "--args", "out:float[2]"], "'untyped' declares no KERNEL_TASK_TYPE, or"),
        (["none.cpp", "--kernel", "add"], "none.cpp: no such source"),
        (["add.cpp", "--kernel", "add", "--args", *ARGS, "--", "1"], "--: what follows are a program's arguments"),
        (
            ["add.cpp", "--kernel", "add", "--compiler", "no++"],
            "compiler 'no++' is not there: kernels are compiled by g++",
        ),
    ],
)
def test_what_cannot_be_run_is_one_line(run: Any, words: list[str], message: str) -> None:
    code, out, err = run(*words)
    assert code == 2
    assert out == ""
    last = err.splitlines()[-1]
    assert message in last
    assert len([line for line in err.splitlines() if not line.startswith("compiling")]) == 1


def test_the_compilers_first_error(run: Any) -> None:
    Path("wrong.cpp").write_text(ADD.replace("Add(a, a, b, kLength)", "Add(a, a, kLength)").replace('"length', '"gone'))
    code, _, err = run("wrong.cpp", "--kernel", "add")
    assert code == 2
    assert "wrong.cpp:3:10: fatal error: " in err
    assert "gone.h" in err
    assert len(err.splitlines()) <= 4
    Path("gone.h").write_text("constexpr int kLength = 512;\n")
    code, _, err = run("wrong.cpp", "--kernel", "add")
    where = r"wrong\.cpp:16:[58]: error: no matching function for call to"  # clang: where the call starts
    assert re.search(where, err), err
    assert len(err.splitlines()) <= 4
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "")
        patch.delenv("CXX", raising=False)
        code, _, err = run("wrong.cpp", "--kernel", "add")
    assert code == 2
    assert "no C++ compiler is on PATH: kernels are compiled by g++ 10 or newer or clang++ 14 or newer: apt-get" in err


@pytest.mark.parametrize("name", ["ccache g++", "/opt/ccache /usr/bin/g++", "bisheng"])
def test_what_is_no_host_compiler_is_passed_over(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ascend_sim._compiler import find_compiler

    monkeypatch.setenv("CXX", name)
    assert Path(find_compiler().path).name in ("g++", "clang++", "c++")


def test_what_changed_or_broke_is_compiled_again(run: Any, cache: Path) -> None:
    """A header that changed, a library that a full disk cut off or zeroed: no old kernel, no crash."""
    import ascend_sim

    def sum_of(count: int) -> Any:
        library = ascend_sim.build(run.sources / "add.cpp", kernels=["add"])
        x, out = np.ones(count, np.float32), np.zeros(count, np.float32)
        library.launch("add", x, x, out, 0).raise_on_findings()
        return library.path, out.sum()

    path, total = sum_of(512)
    assert total == 1024
    assert sum_of(512)[0] == path
    (run.sources / "length.h").write_text("constexpr int kLength = 256;\n")
    try:
        changed, total = sum_of(512)
        assert (changed != path, total) == (True, 512)
    finally:
        (run.sources / "length.h").write_text("constexpr int kLength = 512;\n")
    whole = changed.read_bytes()
    for damaged in (whole[:5000], bytes(len(whole)), b""):
        other = cache / "copy.so"  # not the file that this process has mapped
        other.write_bytes(damaged)
        os.replace(other, changed)
        (run.sources / "length.h").write_text("constexpr int kLength = 256;\n")
        assert sum_of(512)[1] == 512
        assert changed.stat().st_size > 5000
        (run.sources / "length.h").write_text("constexpr int kLength = 512;\n")
    modes = {path.stat().st_mode & 0o777 for path in (cache / "triangle_attn_op", cache / "triangle_attn_op/kernels")}
    assert modes == {0o700}


def test_a_program_with_launches_in_a_header(run: Any) -> None:
    """Its arguments follow --; a launch in a header is a call too; the exit code tells of findings."""
    Path("launch.h").write_text(
        "#pragma once\n#include <cstdlib>\n"
        "inline void AddAll(uint8_t* x, uint8_t* out, int w) { add<<<1, nullptr, nullptr>>>(x, x, out, w); }\n"
    )
    Path("add.asc").write_text(
        f'#include "acl/acl.h"\n{ADD}\n#include "launch.h"\n'
        "int main(int argc, char** argv) {\n"
        "  aclInit(nullptr); aclrtSetDevice(0);\n  void *x, *out; float host[512];\n"
        "  aclrtMalloc(&x, 2048, ACL_MEM_MALLOC_HUGE_FIRST); aclrtMalloc(&out, 2048, ACL_MEM_MALLOC_HUGE_FIRST);\n"
        "  for (float& h : host) h = 3;\n"
        "  if (std::atoi(argv[1]) == 1) aclrtMemcpy(x, 2048, host, 2048, ACL_MEMCPY_HOST_TO_DEVICE);\n"
        "  AddAll((uint8_t*)x, (uint8_t*)out, 0);\n"
        "  if (argc > 3) AddAll((uint8_t*)x, (uint8_t*)out, 0);\n"
        "  aclrtMemcpy(host, 2048, out, 2048, ACL_MEMCPY_DEVICE_TO_HOST);\n"
        '  std::printf("%g of %d\\n", host[511], argc); std::fflush(stdout);\n  return std::atoi(argv[2]);\n}\n'
    )
    code, out, err = run("add.asc", "-I", str(run.sources), "--", "1", "0")
    assert code == 0, out + err
    assert out.startswith("6 of 3\nadd<<<1>>>: ")
    assert "findings: none" in out
    assert run("add.asc", "-I", str(run.sources), "--", "1", "7")[0] == 7
    drawn = ["--trace", "t.json", "--png", "p.png"]
    code, out, err = run("add.asc", "-I", str(run.sources), *drawn, "--ignore-site", "add.asc:15", "--", "1", "0")
    assert code == 1
    assert "race.read-after-write" in err  # the flag between MTE2 and V was left out
    assert any(e.get("name", "").startswith("DataCopy") for e in json.loads(Path("t.json").read_text())["traceEvents"])
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    code, out, err = run("add.asc", "-I", str(run.sources), *drawn, "--timing-only", "--", "1", "0", "twice")
    assert code == 0, out + err
    assert out.startswith("0 of 4\n")  # nothing was computed
    for number in ("1", "2"):
        assert Path(f"t-{number}.json").stat().st_size > 0
        assert Path(f"p-{number}.png").stat().st_size > 0
    for words in (["--blocks", "8"], ["--type", "aiv_only"], ["--auto-sync"]):  # its launches say these themselves
        code, _, err = run("add.asc", "-I", str(run.sources), *words)
        assert code == 2
        assert err.startswith(f"{words[0]}: is of one kernel")
    code, out, err = run("add.asc", "-I", str(run.sources), "--", "0", "0")
    assert code == 1
    assert "launch.h:3: add<<<1>>>: 2 findings\n" in err
    assert "uninitialised-read" in err


def test_high_level_headers_of_a_tree(run: Any) -> None:
    """They compile over the simulator's headers, which come first; what the tree has is taken from it; the language of
    the device is there before the source's first line.
    """
    import ascend_sim

    lib = Path("cann/x86_64-linux/ascendc/include/highlevel_api/lib")
    (lib / "pad").mkdir(parents=True)
    (lib.parent / "kernel_tensor.h").write_text("#error not this one\n")
    (lib / "pad" / "broadcast.h").write_text(
        '#pragma once\n#include "kernel_tensor.h"\n#include "kernel_pop_stack_buffer.h"\nnamespace AscendC {\n'
        "template <typename T, int32_t dim, int32_t axis, bool isReuseSource = false>\n"
        "__aicore__ inline void BroadCast(const LocalTensor<T>& dst, const LocalTensor<T>& src,\n"
        "    const uint32_t dstShape[dim], const uint32_t srcShape[dim], LocalTensor<uint8_t>& tmp) {\n"
        "  Muls(dst, src, T(HALF_DEFAULT_REPEAT_STRIDE), dstShape[0]);\n}\n}\n"
    )
    Path("size.h").write_text("template <size_t n> __aicore__ inline uint32_t Size() { return n; }\n")
    Path("k.cpp").write_text(
        '#include "size.h"\n#include "lib/pad/broadcast.h"\nusing namespace AscendC;\n'
        'extern "C" __global__ __aicore__ void k(GM_ADDR out) {\n  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);\n'
        "  GlobalTensor<float> g;\n  g.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));\n"
        "  LocalTensor<float> t(TPosition::VECCALC, 0, 64);\n  LocalTensor<uint8_t> tmp;\n"
        "  const uint32_t shape[1] = {Size<64>()}, one[1] = {1};\n  Duplicate(t, 2.0f, 64);\n  PipeBarrier<PIPE_V>();\n"
        "  BroadCast<float, 1, 0>(t, t, shape, one, tmp);\n"
        "  SetFlag<HardEvent::V_MTE3>(EVENT_ID0);\n  WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);\n"
        "  DataCopy(g, t, 64);\n  PipeBarrier<PIPE_ALL>();\n}\n"
    )
    code, out, err = run("k.cpp", "--kernel", "k", "--args", "out:float[64]", "--cann", "cann")
    assert code == 0, out + err
    assert "first 8 8 8 8 8 8" in out
    with pytest.raises(
        ValueError, match=r"cann: \S*sources: found neither highlevel_api/lib \(CANN 8\) nor include/adv"
    ):
        ascend_sim.build("k.cpp", cann=run.sources)


def test_interrupted_launch(kernels: Any) -> None:
    """Ctrl-C ends a launch that would run for minutes, and the next one runs."""
    launch = kernels("speed").launch
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    # A job that a shell starts in the background ignores Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            launch("mmad_loop", np.zeros(16384, np.float32), 10**8)
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    launch("mmad_loop", np.zeros(16384, np.float32), 1).raise_on_findings()


def test_the_simulator_is_compiled_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """On a source tree of one file: compiled once, again where it is damaged; only into folders of the user's own."""
    from ascend_sim import _cache, _engine
    from ascend_sim._compiler import CompileError, find_compiler

    monkeypatch.setenv("XDG_CACHE_HOME", "")  # as if it was not set: not relative to the current folder
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source").mkdir()
    file = tmp_path / "source" / "one.cpp"
    file.write_text("int one() { return 1; }\n")
    compiler = find_compiler()

    def made() -> Path:
        return _engine._built("simulator", "libone.so", file.parent, compiler, [file], ["-fPIC"], [])

    path = made()
    assert path.is_relative_to(tmp_path / ".cache/triangle_attn_op/simulator")
    assert "compiling simulator, once for this machine" in capfd.readouterr().err
    whole = path.read_bytes()
    for damaged in (whole[:1000], bytes(len(whole)), b""):
        path.write_bytes(damaged)
        assert made().read_bytes() == whole
    (path.parent / "manifest.json").write_text("")
    assert made() == path
    capfd.readouterr()
    assert made() == path
    assert capfd.readouterr().err == ""
    file.write_text("int one() { return 1 }\n")
    with pytest.raises(CompileError, match=r"the simulator does not compile with .*: .*one\.cpp:1:2\d: error: "):
        made()
    assert [p.name for p in path.parent.parent.iterdir() if p.name.startswith("new-")] == []
    folder = _cache.own_folder("simulator")
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="anybody may write to it"):
        _cache.check_owned(folder)
    assert _cache.own_folder("simulator").stat().st_mode & 0o777 == 0o700
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    if mine != 0:  # root's folders are everybody's to use
        with pytest.raises(PermissionError, match="belongs to user"):
            _cache.check_owned(folder)


def test_damaged_build_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CMake's folders of the operator's simulator: a broken library, broken build files, another tree's folder."""
    from ascend_sim import _ninja

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(x LANGUAGES NONE)\n"
            f"add_custom_command(OUTPUT lib.so COMMAND ${{CMAKE_COMMAND}} -E echo whole-{name} > lib.so)\n"
            "add_custom_target(all_of_it DEPENDS lib.so)\n"
        )
    monkeypatch.setenv("SOME_BUILD", str(tmp_path / "build"))
    folder = _ninja.build_folder("SOME_BUILD", "")
    assert folder.stat().st_mode & 0o777 == 0o700

    def built() -> str:
        _ninja.build(tmp_path / "a", folder, ["lib.so"], "test")
        return (folder / "lib.so").read_text()

    assert built() == "whole-a\n"
    for damaged in ("whole", "\0" * 8, ""):
        (folder / "lib.so").write_text(damaged)
        assert built() == "whole-a\n"
    for broken in ("build.ninja", "CMakeCache.txt"):
        (folder / broken).write_text("")
        (folder / "lib.so").unlink()
        assert built() == "whole-a\n"
    with pytest.raises(ValueError, match=r"is the build folder of \S*/a, not of \S*/b"):
        _ninja.build(tmp_path / "b", folder, ["lib.so"], "test")
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match=r"SOME_BUILD: .* anybody may write to it"):
        _ninja.build_folder("SOME_BUILD", "")
    folder.chmod(0o700)


def test_the_simulator_is_not_taken_from_folders_above(kernels: Any, tmp_path: Path) -> None:
    import ascend_sim

    library = kernels("vector_add").path
    above = tmp_path / "build" / "sim"
    above.mkdir(parents=True)
    (above / "libascend_sim.so").symlink_to(library.parent / "sim" / "libascend_sim.so")
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "libk.so").symlink_to(library)
    (tmp_path / "kernels" / "copy.so").write_bytes(library.read_bytes())
    with pytest.raises(FileNotFoundError, match=r"libascend_sim\.so: not found next to .*copy\.so"):
        ascend_sim.load(tmp_path / "kernels" / "copy.so")
