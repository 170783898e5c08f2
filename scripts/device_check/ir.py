"""LLVM IR in text form: functions, what they call, and the rules that only generated code can break."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field

NAME = r'[-\w.$]+|"[^"]+"'
DEFINE = re.compile(rf"^define .*?@({NAME})\(")
DECLARE = re.compile(rf"^declare .*?@({NAME})\(.*?(?:#(\d+))?$")
GLOBAL = re.compile(rf"^@({NAME}) = (.*)$")
ATTRIBUTES = re.compile(r"^attributes #(\d+) = \{(.*)\}")
CALL = re.compile(r"^\s+(?:%\S+ = )?(?:(?:tail|musttail|notail) )?(?:call|invoke) ")
CALLEE = re.compile(rf"([@%])({NAME})\(")
MENTION = re.compile(rf"@({NAME})")
PLACE = re.compile(r"!dbg !(\d+)")


@dataclass
class Function:
    """A function with a body. lines: its instructions; calls: callees by name, and the line of each."""

    name: str
    lines: list[str] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    indirect: list[str] = field(default_factory=list)  # lines that call through a pointer


@dataclass
class Module:
    """functions: with a body; declared: without, with their attributes; data: globals and how they are defined."""

    functions: dict[str, Function]
    declared: dict[str, str]
    data: dict[str, str]
    metadata: dict[str, str]

    def reachable(self, root: str) -> list[str]:
        """`root` and what it calls, in the order of discovery."""
        found, stack = [], [root]
        while stack:
            name = stack.pop()
            if name in self.functions and name not in found:
                found.append(name)
                stack += [callee for callee, _ in self.functions[name].calls]
        return found

    def place(self, line: str) -> str:
        """file:line of an instruction, "" where it has none."""
        match = PLACE.search(line)
        where = self.metadata.get(match.group(1), "") if match else ""
        number, scope = re.search(r"line: (\d+)", where), re.search(r"scope: !(\d+)", where)
        while scope:
            holder = self.metadata.get(scope.group(1), "")
            file = re.search(r"file: !(\d+)", holder)
            if file:
                name = re.search(r'filename: "([^"]+)", directory: "([^"]*)"', self.metadata.get(file.group(1), ""))
                return f"{os.path.join(name.group(2), name.group(1))}:{number.group(1)}: " if name and number else ""
            scope = re.search(r"scope: !(\d+)", holder)
        return ""


def bare(name: str) -> str:
    return name.strip('"')


def parse(code: str) -> Module:
    """Reads a module."""
    module, groups, current = Module({}, {}, {}, {}), {}, None
    for line in code.splitlines():
        if current is not None:
            if line == "}":
                current = None
                continue
            current.lines.append(line)
            if CALL.match(line):
                _add_call(current, line)
        elif match := DEFINE.match(line):
            current = module.functions.setdefault(bare(match.group(1)), Function(bare(match.group(1))))
        elif match := DECLARE.match(line):
            module.declared[bare(match.group(1))] = match.group(2) or ""
        elif match := GLOBAL.match(line):
            module.data[bare(match.group(1))] = match.group(2)
        elif match := ATTRIBUTES.match(line):
            groups[match.group(1)] = match.group(2)
        elif match := re.match(r"^!(\d+) = (.*)$", line):
            module.metadata[match.group(1)] = match.group(2)
    for name, group in module.declared.items():
        module.declared[name] = groups.get(group, "")
    return module


def _add_call(function: Function, line: str) -> None:
    callee = CALLEE.search(line)
    if callee is None or callee.group(1) == "%":
        if " asm " not in line:
            function.indirect.append(line)
    elif not callee.group(2).startswith("llvm.dbg"):
        function.calls.append((bare(callee.group(2)), line))


def demangle(names: list[str]) -> dict[str, str]:
    """C++ names by linkage names."""
    done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return dict(zip(names, done.stdout.splitlines()))


def cycle(module: Module, roots: list[str]) -> list[str]:
    """Functions that call each other in a circle, the first twice; empty where there is none."""
    done: set[str] = set()
    for root in roots:
        path, walk = [root], [iter([callee for callee, _ in module.functions[root].calls])]
        if root in done:
            continue
        while walk:
            callee = next(walk[-1], None)
            if callee is None:
                walk.pop()
                done.add(path.pop())
            elif callee in path:
                return [*path[path.index(callee) :], callee]
            elif callee in module.functions and callee not in done:
                path.append(callee)
                walk.append(iter([name for name, _ in module.functions[callee].calls]))
    return []
