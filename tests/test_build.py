"""The build: which CANN is found, names of wheels, how CANN's two compilers are called, what the libraries need.

No CANN is needed: tests/toolchain makes stand-ins for its CMake files and programs. What these have in common with
CANN's own files was checked by running tests/toolchain/check.py with those of CANN 8.1.RC1 (tikcpp/ascendc_kernel_cmake
of a published installation: its generator of launchers ran on our kernels; the functions, targets and properties used
here are in function.cmake and host_config.cmake) and with cmake/asc of asc-devkit's tags v9.0.0, v9.0.1 and
v9.1.0-beta.3 and of its main branch of July 2026 (asc-config.cmake, FindASC.cmake, asc_modules: names of variables, the
rules that compile and link). Of CANN 8.5.0 only ASCConfig.cmake is published, not the modules it includes; its samples
use them as 9.0's do. bisheng and ascendc_compiler are not public: nothing here says that they accept the kernels.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from triangle_attn_op import _cann, _library, _torch, env

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "toolchain"))
import cann  # noqa: E402
import check  # noqa: E402

sys.path.insert(0, str(ROOT / "scripts"))
from device_check.clang import INSTALL, Clang  # noqa: E402

pytestmark = pytest.mark.xdist_group("build")  # tests share what they build
linkage = check.LINKAGE

# As CANN writes it, as PEP 440 writes it in a wheel's name, and how kernels are built with it.
VERSIONS = {
    "8.1.RC1": ("8.1.rc1", "ascendc_library"),
    "8.3.RC1.alpha002": ("8.3.rc1.alpha002", "ascendc_library"),
    "8.5.0": ("8.5.0", "asc"),
    "9.0.0.beta2": ("9.0.0.beta2", "asc"),
    "9.1.0-beta.2": ("9.1.0.beta2", "asc"),
}


# ---- which CANN is found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", ["install", "info", "cfg"])
def test_version_is_found_in_each_file(tmp_path: Path, version: str, file: str) -> None:
    cann.write_version(tmp_path, version, (file,))
    found = _cann.find(str(tmp_path))
    assert found is not None
    assert (found.version, found.way) == (version, VERSIONS[version][1])


def test_no_cann(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in _cann.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(_cann, "USUAL", tmp_path / "nothing")
    assert _cann.find() is None
    assert _cann.forgotten() == ""
    with pytest.raises(ValueError, match=rf"ASCEND_HOME_PATH: .* no version of CANN below {tmp_path}"):
        _cann.find(str(tmp_path))


def test_either_variable_names_the_cann(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cann.write_version(tmp_path / "one", "9.1.0")
    cann.write_version(tmp_path / "two", "8.5.0")
    monkeypatch.delenv("ASCEND_HOME_PATH", raising=False)
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", str(tmp_path / "one"))
    assert _cann.find() == (tmp_path / "one", "9.1.0", "asc")
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path / "two"))
    assert _cann.find() == (tmp_path / "two", "8.5.0", "asc")


def test_a_cann_that_no_variable_names_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    for variable in _cann.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    script = tmp_path / "ascend-toolkit" / "set_env.sh"
    script.parent.mkdir()
    script.touch()
    monkeypatch.setattr(_cann, "USUAL", tmp_path)
    text = f"{tmp_path} exists, but neither ASCEND_HOME_PATH nor ASCEND_TOOLKIT_HOME is set: CPU only. For the NPU "
    text += f"kernels: source {script}"
    assert _cann.main() == 0
    assert tuple(capfd.readouterr()) == ("none;none;\n", text + "\n")  # CMake makes a warning of the second
    assert env.collect()["CANN"] == text
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", str(tmp_path))
    assert _cann.forgotten() == ""


def test_cann_that_is_too_old(tmp_path: Path) -> None:
    cann.write_version(tmp_path, "8.0.RC3")
    with pytest.raises(ValueError, match=r"expected CANN 8\.1 or newer, found 8\.0\.RC3"):
        _cann.find(str(tmp_path))


def test_env_tells_the_cann_and_what_was_built(tmp_path: Path) -> None:
    cann.write_version(tmp_path, "9.1.0-beta.2")
    done = subprocess.run(
        [sys.executable, "-m", "triangle_attn_op.env"],
        env={**os.environ, "ASCEND_HOME_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    report = dict(line.split(None, 1) for line in done.stdout.splitlines() if " " in line)
    assert report["CANN"] == "9.1.0-beta.2"
    info = env.build_info()
    assert info is not None, "the package under test was not built by setup.py"
    assert report["built"] == str(info)
    assert info.version == (ROOT / "VERSION").read_text().strip()
    assert info.torch == torch.__version__
    assert (info.cann == "none") == (info.way == "none") == (info.npu_arch == "none")


# ---- names of wheels


@pytest.fixture(scope="module")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What setup.py needs to name a wheel, away from the tree's build folder."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("setup.py", "pyproject.toml", "VERSION", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    package = folder / "python" / "triangle_attn_op"
    package.mkdir(parents=True)
    for name in ("_cann.py", "_torch.py"):
        shutil.copy(ROOT / "python" / "triangle_attn_op" / name, package)
    (package / "__init__.py").touch()
    return folder


@pytest.mark.parametrize("version", [None, *VERSIONS])
def test_wheel_name(small_project: Path, tmp_path: Path, version: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in _cann.VARIABLES}
    if version is not None:
        cann.write_version(tmp_path / "cann", version)
        variable = "ASCEND_TOOLKIT_HOME" if version == "8.5.0" else "ASCEND_HOME_PATH"
        environment[variable] = str(tmp_path / "cann")
    command = [sys.executable, "setup.py", "-q", "bdist_wheel", "--skip-build"]
    command += ["--bdist-dir", str(tmp_path / "bdist"), "--dist-dir", str(tmp_path / "dist")]
    subprocess.run(command, cwd=small_project, env=environment, check=True, capture_output=True)
    local = f"+cann{VERSIONS[version][0]}" if version else ""
    release = (ROOT / "VERSION").read_text().strip()
    machine = os.uname().machine
    expected = f"triangle_attn_op-{release}{local}-cp310-abi3-linux_{machine}.whl"
    assert [path.name for path in (tmp_path / "dist").iterdir()] == [expected]


@pytest.mark.parametrize(
    "version", [*VERSIONS, "9.1.0.beta2", "9.1.0-beta", "8.5.0.alpha002", "9.0.0-rc.1", "own build-7"]
)
def test_messages_and_wheels_name_a_cann_alike(version: str) -> None:
    """The runtime and the files of one CANN write its version differently; the message must name the wheel there is."""
    buffer = ctypes.create_string_buffer(100)
    _library.load().triangle_cann_in_wheel_names(version.encode(), buffer, 100)
    assert buffer.value.decode() == _cann.in_wheel_names(version)
    if parse(version) is not None:
        assert parse(_cann.in_wheel_names(version)) == parse(version)
    if "beta" in version and "2" in version:
        assert _cann.in_wheel_names(version).endswith(".beta2")


@pytest.mark.parametrize(
    ("torch_version", "cann_version", "local", "requirement"),
    [
        ("2.9.0+cpu", "8.5.0", "+cann8.5.0.torch2.9", "torch==2.9.*"),
        ("2.6.0", None, "+torch2.6", "torch==2.6.*"),
        ("2.10.0+cu128", "9.1.0", "+cann9.1.0", "torch>=2.10"),
    ],
)
def test_a_wheel_for_a_torch_before_the_stable_abi_names_it(
    small_project: Path, tmp_path: Path, torch_version: str, cann_version: str | None, local: str, requirement: str
) -> None:
    (tmp_path / "path" / "torch").mkdir(parents=True)
    (tmp_path / "path" / "torch" / "__init__.py").write_text("raise AssertionError('torch is not imported')\n")
    (tmp_path / "path" / "torch" / "version.py").write_text(f"__version__ = '{torch_version}'\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "path")}
    environment.pop("ASCEND_HOME_PATH", None)
    if cann_version is not None:
        cann.write_version(tmp_path / "cann", cann_version)
        environment["ASCEND_HOME_PATH"] = str(tmp_path / "cann")
    command = [sys.executable, "setup.py", "-q", "bdist_wheel", "--skip-build"]
    command += ["--bdist-dir", str(tmp_path / "bdist"), "--dist-dir", str(tmp_path / "dist")]
    subprocess.run(command, cwd=small_project, env=environment, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").iterdir()
    assert wheel.name.split("-")[1].partition("+")[1:] == local.partition("+")[1:]
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        assert f"Requires-Dist: {requirement}" in archive.read(metadata).decode().splitlines()


@pytest.mark.parametrize(
    ("built", "running", "complaint"),
    [
        ("2.13.0", "2.10.0+cu128", None),
        ("2.9.0+cpu", "2.9.1", None),
        ("2.9.0", "2.8.0", "this build is for torch 2.9, found torch 2.8.0; install the wheel whose name has torch2.8"),
        ("2.9.0", "2.13.0+cpu", "for torch 2.9, found torch 2.13.0+cpu; install a wheel without torch in its name"),
        ("2.13.0", "2.9.0", "this build is for torch >= 2.10, found torch 2.9.0; install the wheel whose name has"),
    ],
)
def test_a_build_for_another_torch_is_refused(built: str, running: str, complaint: str | None) -> None:
    text = _torch.mismatch(built, running)
    assert text is None if complaint is None else complaint in str(text)


def test_release_workflow_names_versions_and_scripts_that_exist() -> None:
    release = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    jobs = release["jobs"]
    matrix = jobs["npu"]["strategy"]["matrix"]
    pairs = [pair.split() for pair in matrix["pair"]]
    assert all(_cann.VERSION.fullmatch(tag.split("-910b-")[0]) for tag, _ in pairs)
    # Huawei's table, as docs/build.md has it.
    table = (ROOT / "docs" / "build.md").read_text().partition("## Which pairs are served")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in row.split("|")[1:4]] for row in table.splitlines() if re.match(r"\| *\d", row)]
    for cann_version, minor, _ in rows:
        assert any(tag.startswith(f"{cann_version.lower()}-") and minor in torch for tag, torch in pairs), cann_version
    assert len(rows) == len(pairs)
    assert {runner.endswith("-arm") for runner in jobs["npu"]["strategy"]["matrix"]["runner"]} == {True, False}
    assert sorted(jobs["release"]["needs"]) == ["cpu", "glibc", "npu", "sdist"]
    text = (ROOT / "docs" / "build.md").read_text() + json.dumps(jobs)
    for script in set(re.findall(r"(?<![\w/.])((?:scripts|tests/toolchain)/\w+\.(?:sh|py))", text)):
        assert (ROOT / script).is_file(), script
    for job in ("npu", "cpu"):
        assert any(f"scripts/build_wheel.sh {job}" in step.get("run", "") for step in jobs[job]["steps"])


# ---- CANN's compilers


@pytest.fixture(scope="module")
def built_asc(tmp_path_factory: pytest.TempPathFactory) -> check.Built:
    folder = tmp_path_factory.mktemp("asc")
    return check.build(cann.make(folder / "cann", "9.1.0-beta.2"), folder / "build")


@pytest.fixture(scope="module")
def built_ascendc_library(tmp_path_factory: pytest.TempPathFactory) -> check.Built:
    folder = tmp_path_factory.mktemp("ascendc_library")
    return check.build(cann.make(folder / "cann", "8.1.RC1"), folder / "build")


def test_find_package_asc(built_asc: check.Built) -> None:
    assert built_asc.way == "asc"
    assert check.problems(built_asc) == []


def test_ascendc_library(built_ascendc_library: check.Built) -> None:
    assert built_ascendc_library.way == "ascendc_library"
    assert check.problems(built_ascendc_library) == []


@pytest.mark.parametrize(
    ("way", "old", "new", "complaint"),
    [
        ("asc", "--cce-auto-sync=off", "--cce-auto-sync", "automatic synchronisation is decided by --cce-auto-sync"),
        ("asc", "--npu-arch=dav-2201", "--npu-arch=dav-3510", "--npu-arch=dav-2201 is missing"),
        ("asc", "-O3", "-O0", "optimisation level is -O0"),
        ("asc", "-DTRIANGLE_BATCH_SCHEDULING", "-DX", "-DTRIANGLE_BATCH_SCHEDULING is missing for CANN 9.1.0"),
        ("ascendc_library", "--cce-auto-sync=off", "-g", "automatic synchronisation is decided by --cce-auto-sync"),
        ("ascendc_library", "-DTRIANGLE_LAUNCH_ASCENDC_LIBRARY", "-DX", "-DTRIANGLE_LAUNCH_ASCENDC_LIBRARY is missing"),
    ],
)
def test_a_wrong_command_line_is_noticed(
    request: pytest.FixtureRequest, tmp_path: Path, way: str, old: str, new: str, complaint: str
) -> None:
    built = request.getfixturevalue(f"built_{way}")
    record = (built.stand_in.home / "record.jsonl").read_text()
    assert f'"{old}"' in record
    (tmp_path / "record.jsonl").write_text(record.replace(f'"{old}"', f'"{new}"'))
    (tmp_path / "lib64").symlink_to(built.stand_in.home / "lib64")
    stand_in = cann.StandIn(tmp_path)
    found = check.problems(check.Built(stand_in, built.version, built.way, built.library))
    assert any(complaint in line for line in found), found


@pytest.mark.parametrize("program", ["bisheng", "ascendc_compiler"])
def test_a_source_that_is_no_device_code_does_not_compile(
    request: pytest.FixtureRequest, tmp_path: Path, program: str
) -> None:
    """The stand-ins compile (scripts/device_check); here a constexpr function of the host, which g++ would let pass."""
    if Clang.find() is None and os.environ.get("CI") != "true":
        pytest.skip(f"no clang: {INSTALL}")
    built = request.getfixturevalue("built_asc" if program == "bisheng" else "built_ascendc_library")
    source = tmp_path / "kernel.asc"
    source.write_text(
        '#include "kernel_operator.h"\nconstexpr int twice(int a) { return 2 * a; }\n'
        "__global__ __aicore__ void kernel(GM_ADDR x) { x[0] = twice(x[1]); }\n"
    )
    (compiler,) = (path for path in built.stand_in.home.glob(f"*-linux/**/{program}") if path.is_file())
    command = [compiler, "-o", tmp_path / "kernel.o", "-c", source]
    if program == "ascendc_compiler":
        command.insert(1, "--cce-aicore-arch=dav-c220-vec")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "AIV: " in done.stderr
    assert ("AIC: " in done.stderr) == (program == "bisheng")
    assert "no matching function for call to 'twice': call to __host__ function from __global__" in done.stderr


def test_whole_project_with_cann(tmp_path: Path) -> None:
    """As setup.py configures it with CANN 8.5: the NPU part, untouched flags for the rest, and what is recorded."""
    stand_in = cann.make(tmp_path / "cann", "8.5.0")
    output = tmp_path / "package"
    configure = ["cmake", "-S", ROOT, "-B", tmp_path / "build", "-G", "Ninja", f"-DPython3_EXECUTABLE={sys.executable}"]
    configure += [f"-DTRIANGLE_TORCH_DIR={torch.__path__[0]}", f"-DTRIANGLE_OUTPUT_DIR={output}"]
    configure += ["-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-Wno-dev"]
    environment = check.environment(stand_in.home)
    environment["ASCEND_TOOLKIT_HOME"] = environment.pop("ASCEND_HOME_PATH")  # which is enough, too
    libraries = ["triangle_attn_npu", "triangle_attn_measure"]
    for command in (configure, ["cmake", "--build", tmp_path / "build", "--target", *libraries]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    library = output / "lib" / "libtriangle_attn_npu.so"
    assert check.problems(check.Built(stand_in, "8.5.0", "asc", library)) == []

    commands = {c["file"]: c["command"] for c in json.loads((tmp_path / "build" / "compile_commands.json").read_text())}
    ours = [command for file, command in commands.items() if file.startswith(str(ROOT / "csrc"))]
    assert len(ours) >= 8
    assert all(" -O3 " in command for command in ours), "CANN's CMake files changed the flags of the CPU part"

    recorded: dict[str, str] = {}
    exec((output / "_build_info.py").read_text(), recorded)
    assert (recorded["CANN"], recorded["WAY"], recorded["NPU_ARCH"]) == ("8.5.0", "asc", "dav-2201")
    assert recorded["TORCH"] == torch.__version__


def test_ninja_is_refused_where_cann_cannot_use_it(tmp_path: Path) -> None:
    cann.write_version(tmp_path / "cann", "8.1.RC1")
    command = ["cmake", "-S", ROOT / "cmake" / "npu", "-B", tmp_path / "build", "-G", "Ninja"]
    command += ["-DTRIANGLE_KERNEL_WAY=ascendc_library"]
    done = subprocess.run(command, env=check.environment(tmp_path / "cann"), capture_output=True, text=True)
    assert done.returncode != 0
    assert "does not work with Ninja" in done.stderr


# ---- what the libraries need


def test_dependencies_of_the_installed_library() -> None:
    assert linkage["problems"](_library.path()) == []


def test_no_path_of_the_build_machine_in_the_installed_library() -> None:
    content = _library.path().read_bytes()
    for folder in (ROOT, Path(torch.__path__[0])):
        assert f"{folder}/".encode() not in content


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("_C.abi3.so", ["-lascendcl"], "needs libascendcl.so"),
        ("_C.abi3.so", ["-Wl,-rpath,/opt/ascend/lib64"], "has RUNPATH /opt/ascend/lib64"),
        ("libtriangle_attn_npu.so", ["-lother"], "needs libother.so"),
        ("libtriangle_attn_npu.so", ["{folder}/libnameless.so"], "needs {folder}/libnameless.so"),
        ("libtriangle_attn_npu.so", ["-Wl,--disable-new-dtags,-rpath,$ORIGIN"], "has RPATH $ORIGIN"),
        ("libtriangle_attn_npu.so", ["-lascendcl"], None),
    ],
)
def test_dependencies_are_asserted(tmp_path: Path, name: str, options: list[str], complaint: str | None) -> None:
    def link(output: str, *extra: str) -> None:
        subprocess.run(["cc", "-shared", "-x", "c", "/dev/null", "-o", tmp_path / output, *extra], check=True)

    for library in ("ascendcl", "other"):
        link(f"lib{library}.so", f"-Wl,-soname,lib{library}.so")
    link("libnameless.so")
    options = [option.format(folder=tmp_path) for option in options]
    link(name, "-x", "none", f"-L{tmp_path}", "-Wl,--no-as-needed", "-Wl,--enable-new-dtags", *options)
    found = linkage["problems"](tmp_path / name)
    assert found == ([f"{name}: {complaint.format(folder=tmp_path)}"] if complaint else [])


def test_symbols_that_are_too_new_are_named(tmp_path: Path) -> None:
    """A library whose dlopen is glibc 2.34's, and one that binds the first version, as csrc/glibc.h does."""
    source = tmp_path / "open.cpp"
    source.write_text('#include <dlfcn.h>\nvoid* opened() { return dlopen("x", RTLD_LAZY); }\n')
    library, command = tmp_path / "_C.abi3.so", ["g++", "-shared", "-fPIC", f"-I{ROOT}", source]
    subprocess.run([*command, "-ldl", "-o", library], check=True)
    if linkage["number"](platform.libc_ver()[1]) >= [2, 34]:
        wanted = ["_C.abi3.so: needs GLIBC_2.34 (dlopen), expected at most GLIBC_2.28"]
        assert linkage["problems"](library) == wanted
    subprocess.run([*command, "-include", "csrc/glibc.h", "-ldl", "-o", library], check=True, cwd=ROOT)
    assert linkage["problems"](library) == []


# ---- versions compared (csrc/npu/cann_version.h)

SAME, WARN, REFUSE = 0, 1, 2


def parse(text: str) -> tuple[int, ...] | None:
    numbers = (ctypes.c_int32 * 6)()
    return tuple(numbers) if _library.load().triangle_cann_version(text.encode(), numbers) else None


def compare(build: str, run: str) -> tuple[int, str]:
    buffer = ctypes.create_string_buffer(1000)
    return _library.load().triangle_cann_compare(build.encode(), run.encode(), buffer, 1000), buffer.value.decode()


def test_versions_are_in_the_order_in_which_they_came_out() -> None:
    order = ["8.0.RC3.alpha001", "8.0.RC3", "8.0.0.alpha001", "8.0.0", "8.1.RC1.alpha001", "8.1.RC1.beta1", "8.1.RC1"]
    order += ["8.1.RC2", "8.3.RC1", "8.5.0-alpha", "8.5.0.alpha002", "8.5.0", "8.5.1", "9.0.0-beta.1", "9.0.0.beta2"]
    order += ["9.0.0-rc.1", "9.0.0", "9.0.1", "9.1.0-beta.2", "9.1.0", "10.0.0"]
    keys = [parse(text) for text in order]
    assert None not in keys
    for (text, key), (next_text, next_key) in itertools.pairwise(zip(order, keys)):
        assert key < next_key, f"{text} and {next_text}"  # type: ignore[operator]
    assert parse("9.1.0-beta.2") == parse("9.1.0.beta2") == parse("9.1.0-BETA2")
    assert parse("8.1.RC1") == parse("8.1.rc1")


@pytest.mark.parametrize(
    "text", ["", "cann", "8.5", "8.5.x", "8..0", "8.1.RC", "9.0.0.gamma1", "9.1.0-beta.2.3", "8.5.0 "]
)
def test_what_is_no_version(text: str) -> None:
    assert parse(text) is None
    assert _cann.VERSION.fullmatch(text) is None


def test_the_build_reads_the_same_versions() -> None:
    for text in (*VERSIONS, "8.0.0", "8.1.RC1.beta1", "9.0.0-rc.1", "9.1.0-beta"):
        assert parse(text) is not None
        assert _cann.VERSION.fullmatch(text)


@pytest.mark.parametrize(
    ("build", "run", "verdict", "words"),
    [
        ("8.5.0", "8.5.0", SAME, ""),
        ("9.1.0-beta.2", "9.1.0.beta2", SAME, ""),
        ("8.1.RC1", "8.1.rc1", SAME, ""),
        ("own build 7", "own build 7", SAME, ""),
        ("8.5.0", "8.5.1", WARN, "which is newer"),
        ("8.1.RC1", "9.0.0", WARN, "which is newer"),
        ("8.3.RC1", "8.1.RC1", WARN, "which is older"),
        ("9.0.1", "9.0.0", WARN, "which is older"),
        ("9.0.0", "8.5.0", REFUSE, "kernels of 9.0 call"),
        ("8.5.0", "8.3.RC1", REFUSE, "kernels of 8.5 call"),
        ("8.5.0", "", WARN, "cannot be found out"),
        ("8.5.0", "unknown", WARN, "cannot be compared"),
        ("", "8.5.0", WARN, "unknown version"),
    ],
)
def test_versions_compared(build: str, run: str, verdict: int, words: str) -> None:
    found, text = compare(build, run)
    assert found == verdict
    if verdict == SAME:
        assert text == ""
    else:
        assert words in text
        assert text.startswith("the NPU kernels were built with CANN ")
        assert "install the triangle_attn_op wheel" in text  # what to do
        assert run in text


def test_a_long_comparison_is_cut() -> None:
    buffer = ctypes.create_string_buffer(b"x" * 20)
    _library.load().triangle_cann_compare(b"8.5.0", b"8.5.1", buffer, 10)
    assert buffer.raw[:11] == b"the NPU k\0x"
