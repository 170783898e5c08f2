"""The package for its users: metadata and README as PyPI shows them, an old setuptools, torch beside torch_npu."""

from __future__ import annotations

import email
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "triangle_attn_op"
URL = "https://example.org/owner/project"


def run(command: list[str | Path], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_metadata_and_readme(tmp_path: Path) -> None:
    """URLs and authors; the README's links and images are addresses of files that are in the tree."""
    for name in ("setup.py", "pyproject.toml", "VERSION", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "python" / "triangle_attn_op").mkdir(parents=True)
    for name in ("_cann.py", "_torch.py"):
        shutil.copy(PACKAGE / name, tmp_path / "python" / "triangle_attn_op")

    def made(repository: str) -> Any:
        done = run([sys.executable, "setup.py", "-q", "egg_info"], tmp_path, TRIANGLE_REPOSITORY=repository)
        assert done.returncode == 0, done.stderr
        return email.message_from_bytes(next(tmp_path.rglob("PKG-INFO")).read_bytes())

    def links_of(metadata: Any) -> list[tuple[str, str]]:
        return re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", metadata.get_payload(decode=True).decode())

    unknown = made("")  # a build of somebody's own: no address is better than a wrong one
    assert "Project-URL" not in unknown
    assert all("://" in link for _, link in links_of(unknown))
    metadata = made(URL)
    assert metadata["Author"] == "triangle_attn_op contributors"
    assert f"Repository, {URL}" in metadata.get_all("Project-URL", [])

    version = (ROOT / "VERSION").read_text().strip()
    links = links_of(metadata)
    assert len(links) > 10
    for image, link in links:
        kind, files = ("raw" if image else "blob"), f"v{version}"
        assert link.startswith(f"{URL}/{kind}/{files}/"), link
        assert (ROOT / link.removeprefix(f"{URL}/{kind}/{files}/").partition("#")[0]).is_file(), link


@pytest.mark.parametrize(("version", "complaint"), [("65.5.1", "found 65.5.1"), (None, "found none"), ("77.0.1", "")])
def test_an_old_setuptools_is_one_line(tmp_path: Path, version: str | None, complaint: str) -> None:
    """What pip calls in place of setuptools' own backend, beside a setuptools of that version."""
    (tmp_path / "setuptools").mkdir()
    (tmp_path / "setuptools" / "__init__.py").touch()
    (tmp_path / "setuptools" / "build_meta.py").write_text("def build_wheel(folder): return 'built'\n")
    if version is not None:
        (tmp_path / f"setuptools-{version}.dist-info").mkdir()
        (tmp_path / f"setuptools-{version}.dist-info" / "METADATA").write_text(
            f"Name: setuptools\nVersion: {version}\n"
        )
    source = "import sys; sys.path[:0] = sys.argv[1:]; import build_backend; print(build_backend.build_wheel('.'))"
    # -S: without the setuptools of this environment.
    done = run([sys.executable, "-S", "-c", source, str(tmp_path), str(ROOT / "scripts")], tmp_path)
    if complaint:
        assert done.returncode == 1
        assert done.stderr.splitlines() == [
            f"triangle_attn_op: expected setuptools >= 77, {complaint}: pip install 'setuptools>=77'"
        ]
    else:
        assert (done.returncode, done.stdout) == (0, "built\n"), done.stderr


@pytest.fixture
def cuda_torch(tmp_path: Path) -> Path:
    """A folder with a torch that kills the process when it is imported, as one for CUDA does beside torch_npu."""
    for name in ("torch", "torch_npu"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("import os\nos.abort()\n")
    (tmp_path / "torch" / "version.py").write_text("__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\n")
    return tmp_path


MESSAGE = (
    "torch 2.13.0+cu130 is a build for CUDA 13.0, and torch_npu beside one aborts the process; expected a CPU build: "
    "pip install --index-url https://download.pytorch.org/whl/cpu torch==2.13.0"
)


def test_torch_for_cuda_beside_torch_npu(cuda_torch: Path) -> None:
    """Said before torch is imported, by the program that `make npu-test` runs first and by the package itself."""
    path = {"PYTHONPATH": f"{cuda_torch}{os.pathsep}{PACKAGE.parent}"}
    done = run([sys.executable, PACKAGE / "_pairing.py"], cuda_torch, **path)
    assert (done.returncode, done.stderr) == (1, f"triangle_attn_op: {MESSAGE}\n")
    done = run([sys.executable, "-c", "import triangle_attn_op"], cuda_torch, **path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"ImportError: triangle_attn_op: {MESSAGE}")


def test_torch_that_fits_is_not_complained_about(cuda_torch: Path) -> None:
    path = {"PYTHONPATH": str(cuda_torch)}
    (cuda_torch / "torch" / "version.py").write_text("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\n")
    done = run([sys.executable, PACKAGE / "_pairing.py"], cuda_torch, **path)
    assert (done.returncode, done.stderr) == (0, "")
    shutil.rmtree(cuda_torch / "torch_npu")
    (cuda_torch / "torch" / "version.py").write_text("__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\n")
    done = run([sys.executable, PACKAGE / "_pairing.py"], cuda_torch, **path)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_releases_run_is_pinned() -> None:
    """Actions by commit, PyPA's containers by digest, tools by version; CANN's containers by their version's tag."""
    text = "".join(path.read_text() for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")))
    actions = re.findall(r"uses: (\S+)", text)
    assert actions
    assert [action for action in actions if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)] == []
    images = re.findall(r"manylinux\S*", text)
    assert images
    assert [image for image in images if not re.search(r"@sha256:[0-9a-f]{64}\b", image)] == []
    assert re.findall(r"pipx run (\S+)", text) == ["twine==7.0.0"]
    lines = (ROOT / "requirements-build.txt").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", line) for line in pinned), pinned
    required = re.search(r"^requires = (\[.*?\])", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert required is not None
    assert set(re.findall(r'"([^"]+)"', required[1])) <= set(pinned)


def test_the_simulator_without_numpy_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError(\"No module named 'numpy'\", name='numpy')")
    path = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{PACKAGE.parent}"}
    done = run([sys.executable, "-W", "ignore", "-m", "triangle_attn_op.sim"], tmp_path, **path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "the simulator needs numpy: pip install numpy")


def test_make_takes_a_folder_with_spaces() -> None:
    """No word of a command that make would run ends within the folder's name."""
    done = run(["make", "-n", "-B", "test", "lint", "CURDIR=/some where"], ROOT)
    assert done.returncode == 0, done.stderr
    words = shlex.split(done.stdout.replace("\\\n", " "), comments=True)
    assert [word for word in words if "/some where" in word]
    assert [word for word in words if word.endswith("/some")] == []
