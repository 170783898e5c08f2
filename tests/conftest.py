"""Options and fixtures of every test: the backend, and fresh random seeds that a failure prints."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch is loaded: threads that wait for each other sleep. Two processes with two threads each share two cores,
# and one that spins takes the other's time: half of all that the CPU tests took.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch

# CXX is for what this project builds. inductor's own code, by clang, links clang's OpenMP beside torch's own,
# and its sums come out wrong (torch 2.13, x.square().sum() on two threads: half).
if "clang" in os.environ.get("CXX", ""):
    from torch._inductor import config as inductor

    inductor.cpp.cxx = (None, "g++")

# One simulator for all the libraries of kernels that tests build (sim/CMakeLists.txt).
os.environ.setdefault("ASCEND_SIM_ENGINE_DIR", str(Path(__file__).resolve().parents[1] / "build" / "sim"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend", default="cpu,sim", help="the backends that run the case table: cpu, sim, npu, or several (cpu,sim)"
    )
    parser.addoption("--seed", type=int, default=None, help="seed of the random inputs; by default fresh in every run")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--seed") is None:
        # Workers of pytest-xdist inherit the seed of their parent.
        os.environ.setdefault("TRIANGLE_TEST_SEED", str(int.from_bytes(os.urandom(3), "little")))
        config.option.seed = int(os.environ["TRIANGLE_TEST_SEED"])


def pytest_report_header(config: pytest.Config) -> str:
    return f"backend: {config.getoption('--backend')}, seed: {config.getoption('--seed')} (repeat with --seed)"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--seed"))


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_thread(two_threads: None) -> None:
    torch.set_num_threads(1)
