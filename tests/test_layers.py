"""Which room may know which: includes of C++ sources, and imports of Python modules, without circles."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "triangle_attn_op"

# A folder, and what its quoted includes may lie in besides itself. csrc/cpu is without torch, op_host without anything.
MAY_INCLUDE = {
    "op_host": set(),
    "op_kernel": {"op_host"},
    "csrc/cpu": {"op_host", "csrc/glibc.h"},
    "csrc/npu": {"csrc", "op_host", "op_kernel/launch.h"},
    "csrc": {"csrc/cpu", "csrc/npu", "op_host"},
    "sim": set(),
}
# Headers of somebody else, in <> as in "".
FOREIGN = {
    "op_host": r"torch/|ATen/|c10/|acl/|kernel_operator",
    "op_kernel": r"torch/|ATen/|c10/",
    "csrc/cpu": r"torch/|ATen/|c10/|acl/|kernel_operator",
    "sim": r"torch/|ATen/|c10/|op_host|op_kernel|csrc",
}


def sources(folder: str) -> Iterator[Path]:
    inner = [name for name in MAY_INCLUDE if name.startswith(f"{folder}/")]
    for path in sorted((ROOT / folder).rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in (".h", ".cpp", ".inc") and not any(name.startswith(f"{i}/") for i in inner):
            yield path


def included(path: Path, name: str) -> str | None:
    """The file of this repository that a quoted include of `path` means; None: one of elsewhere."""
    for base in (path.parent, ROOT, ROOT / "csrc"):
        if (base / name).is_file():
            return (base / name).resolve().relative_to(ROOT).as_posix()
    return None


@pytest.mark.parametrize("folder", MAY_INCLUDE)
def test_includes_point_one_way(folder: str) -> None:
    found = 0
    for path in sources(folder):
        for bracket, name in re.findall(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', path.read_text(), re.MULTILINE):
            where = f"{path.relative_to(ROOT)} includes {name}"
            assert not re.match(FOREIGN.get(folder, "(?!)"), name), where
            target = included(path, name) if bracket == '"' else None
            if target is None:
                continue
            found += 1
            room = max((room for room in MAY_INCLUDE if target.startswith(f"{room}/")), key=len, default="?")
            allowed = MAY_INCLUDE[folder]
            assert room == folder or room in allowed or target in allowed, f"{where}, of {room}"
    assert found > 3


def imports(module: str, path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of the package that `module` imports anywhere, within functions too; but not for types alone."""

    def nodes(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            yield child
            yield from nodes(child)

    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    result = set()
    for node in nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = package.split(".")
            base = names[: len(names) - node.level + 1] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            result |= {full if (full := f"{target}.{alias.name}") in known else target for alias in node.names}
    return {name for name in result if name in known and name != module}


def test_no_import_circles() -> None:
    known = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        known[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {module: imports(module, path, known) for module, path in known.items()}
    assert "triangle_attn_op._checks" in graph["triangle_attn_op.ops"]
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> None:
        assert module not in way, f"a circle of imports: {' -> '.join([*way[way.index(module) :], module])}"
        if module not in done:
            for other in sorted(graph[module]):
                visit(other, [*way, module])
            done.add(module)

    for module in graph:
        visit(module, [])
