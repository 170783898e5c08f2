"""Programs in processes of their own that do not import torch and torch_npu anew, which takes most of their time: they
are forked from a process that has, and has not touched a device.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

# What the simulator reads in each process and torch_npu does not ask about when it is imported.
MAY_CHANGE = {f"ASCEND_SIM_{name}" for name in ("DETERMINISM", "POISON", "REPORT", "SEED", "STREAMS", "WATCHDOG")}


class Forks:
    """The process that is forked; begins at the first use, in the environment there is now."""

    def __init__(self) -> None:
        self.before = dict(os.environ)
        self.server: subprocess.Popen[str] | None = None

    def serves(self, environment: dict[str, str]) -> bool:
        """Not where a variable that an import may read differs, or the test changed one."""
        changed = {name for name, _ in os.environ.items() ^ self.before.items()} - {"PYTEST_CURRENT_TEST"}
        return environment.keys() <= MAY_CHANGE and not changed

    def run(self, source: str, folder: Path, environment: dict[str, str], timeout: float) -> tuple[int, str, str]:
        """Exit code as subprocess has it, output, errors. subprocess.TimeoutExpired after `timeout` seconds."""
        if self.server is None:
            command = [sys.executable, __file__]
            self.server = subprocess.Popen(
                command, env=self.before, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
        out, err = folder / "out.txt", folder / "err.txt"
        job = {"source": source, "out": str(out), "err": str(err), "environment": environment, "cwd": os.getcwd()}
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(job) + "\n")
        pid = json.loads(self.server.stdout.readline())
        if not select.select([self.server.stdout], [], [], timeout)[0]:
            os.kill(pid, signal.SIGKILL)
            self.server.stdout.readline()
            raise subprocess.TimeoutExpired(source, timeout)
        return json.loads(self.server.stdout.readline()), out.read_text(), err.read_text()

    def close(self) -> None:
        if self.server is not None:
            assert self.server.stdin is not None
            self.server.stdin.close()
            self.server.wait()


def next_program() -> str:
    """Returns in a forked process only, with its source."""
    for line in sys.stdin:
        job: dict[str, Any] = json.loads(line)
        pid = os.fork()
        if pid == 0:
            for number, path, flags in ((0, "/dev/null", os.O_RDONLY), (1, job["out"], os.O_WRONLY | os.O_CREAT),
                                        (2, job["err"], os.O_WRONLY | os.O_CREAT)):  # fmt: skip
                file = os.open(path, flags | os.O_TRUNC if number else flags, 0o600)
                os.dup2(file, number)
                os.close(file)
            os.environ.update(job["environment"])
            os.chdir(job["cwd"])
            sys.argv = ["-c"]
            return str(job["source"])
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    os._exit(0)


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        import torch
        import torch_npu  # noqa: F401

    assert not torch.npu.is_initialized()
    exec(compile(next_program(), "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
