"""What this machine can do and what is missing, each with the one command that brings it. Looks only, changes nothing.

A check says `ok`, `missing` (what cannot be done without), `warning` (it works, but not as it should) or `note` (what is
optional, or for your information). Nothing here needs the libraries whose absence it is to report.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

State = Literal["ok", "note", "warning", "missing"]

OLDEST_PYTHON = (3, 11)
ENOUGH_MEMORY = 6 * 2**30
"""Bytes; what the demo needs with the default model."""
ENOUGH_DISK = 3 * 2**30
"""Bytes; a converted model, a project of the demo's size, and some room."""
BUSY = 0.5
"""Share of the cores at work for others from which our threads would wait for each other more than they work."""
HUB = "https://huggingface.co"

PURPOSES = {
    "ray": "curation on a Ray cluster",
    "llamacpp": "answers by llama.cpp",
    "postgres": "the feedback store in PostgreSQL",
    "fourbit": "LoRA over 4-bit weights on a GPU",
    "tensorboard": "TensorBoard's files of a training run",
    "documents": "more kinds of documents (pptx, xlsx)",
    "dev": "tests and checks of Heedful itself",
}
"""What the optional parts are for. Which there are is read from the installed package."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    found: str
    remedy: str = ""
    """The one command that brings what is missing; empty when there is nothing to do."""


def check_machine(place: Path) -> Iterator[Check]:
    """Everything that does not depend on a project; `place` is where a project is or would be."""
    yield _python()
    yield from check_libraries()
    yield from _torch()
    yield judge_memory(*_memory())
    yield from _disk(place)
    yield _compiler(shutil.which)


def check_hub(get: Callable[[str], Any] | None = None) -> Check:
    """Whether models can be fetched; asks the hub, so only when the user wants that."""
    import httpx

    url = os.environ.get("HF_ENDPOINT") or HUB
    try:
        status = (get or (lambda address: httpx.head(address, timeout=5, follow_redirects=True)))(url).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        found = (
            f"{url} cannot be reached ({type(error).__name__}); models in packages and local folders work without it"
        )
        return Check("hub", "warning", found)
    if status >= 500:
        return Check("hub", "warning", f"{url} answers with status {status}; try again later")
    return Check("hub", "ok", f"{url} answers")


# -- software --------------------------------------------------------------------------------------------------


def _python() -> Check:
    found = f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}"
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        return Check(
            "python", "missing", f"{found}; {wanted} or newer is needed", f"make install PYTHON=python{wanted}"
        )
    return Check("python", "ok", found)


def check_libraries(distribution: str = "heedful") -> Iterator[Check]:
    """Required libraries in one line, then one for each extra, as the installed package declares them."""
    try:
        wanted = metadata.requires(distribution) or []
        extras = metadata.metadata(distribution).get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        yield Check("libraries", "missing", f"{distribution} itself is not installed", "make install")
        return
    problems = _unmet(wanted, "")
    if problems:
        yield Check("libraries", "missing", ", ".join(problems), f"pip install --upgrade {distribution}")
    else:
        yield Check("libraries", "ok", f"{distribution} {metadata.version(distribution)} with all that it needs")
    for extra in extras:
        problems = _unmet(wanted, extra)
        purpose = PURPOSES.get(extra, "optional")
        name = f"extra {extra}"
        if problems:
            yield Check(
                name, "note", f"{purpose}: not here ({', '.join(problems)})", f"pip install '{distribution}[{extra}]'"
            )
        else:
            yield Check(name, "ok", purpose)


def _unmet(requirements: list[str], extra: str) -> list[str]:
    """What of `requirements` is not installed as wanted: those for everyone, or only those of `extra`."""
    from packaging.requirements import Requirement

    problems = []
    for text in requirements:
        wanted = Requirement(text)
        for_all = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        for_extra = wanted.marker is not None and wanted.marker.evaluate({"extra": extra})
        if (for_extra and not for_all) if extra else for_all:
            problems += _problems(wanted)
    return problems


def _problems(wanted: Any) -> list[str]:
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return [f"{wanted.name} is not installed"]
    if not wanted.specifier.contains(version, prereleases=True):
        return [f"{wanted.name} is {version}, wanted {wanted.specifier}"]
    return [
        problem for extra in sorted(wanted.extras) for problem in _unmet(metadata.requires(wanted.name) or [], extra)
    ]


def _compiler(find: Callable[[str], str | None]) -> Check:
    names = [name for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name]
    found = next((path for name in names if (path := find(name))), None)
    if found is not None:
        return Check("C compiler", "ok", found)
    remedy = "xcode-select --install" if sys.platform == "darwin" else "apt-get install build-essential"
    return Check("C compiler", "note", "none; only torch.compile and packages without a wheel need one", remedy)


# -- torch, cores, GPU -----------------------------------------------------------------------------------------


def _torch() -> Iterator[Check]:
    try:
        import torch
    except (ImportError, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        yield Check("torch", "missing", f"cannot be imported ({first})", "make install")
        return
    threads, cores = torch.get_num_threads(), usable_cores()
    cuda = torch.version.cuda
    build = f"CUDA {cuda}" if cuda else "CPU"
    yield Check(
        "torch", "ok", f"{torch.__version__}, {build} build, {threads} {'thread' if threads == 1 else 'threads'}"
    )
    yield judge_cores(cores=cores, threads=threads, busy=_busy_cores())
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    yield judge_gpu(names, has_driver=_has_nvidia_driver(), cuda_build=cuda is not None)


def judge_cores(*, cores: int, threads: int, busy: float) -> Check:
    """Threads of one calculation wait for the slowest of them: on cores that others use, two can be slower than one."""
    found = f"{cores} usable, {busy:.1f} busy with other work"
    if threads > cores:
        reason = f"{found}; torch would run {threads} threads on them, which wait for each other"
        return Check("cores", "warning", reason, f"export OMP_NUM_THREADS={cores}")
    free = max(int(cores - busy), 1)
    if threads > free and busy >= BUSY * cores:
        reason = f"{found}; torch's {threads} threads would wait for each other: several times slower than one"
        return Check("cores", "warning", reason, f"export OMP_NUM_THREADS={free}")
    return Check("cores", "ok", found)


def judge_gpu(names: list[str], *, has_driver: bool, cuda_build: bool) -> Check:
    """A GPU is welcome and never needed."""
    if names:
        return Check("GPU", "ok", ", ".join(names))
    if has_driver and not cuda_build:
        return Check("GPU", "warning", "there is one, but this torch is a CPU build", "make install GPU=1")
    if has_driver:
        return Check("GPU", "warning", "there is one, but torch cannot use it; does the driver fit?", "nvidia-smi")
    return Check("GPU", "note", "none; everything runs on the CPU")


def usable_cores() -> int:
    """Cores that this process may use: not those of the machine when it is fenced in."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _words(Path("/sys/fs/cgroup/cpu.max"))
    if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit():
        cores = min(cores, max(int(quota[0]) // max(int(quota[1]), 1), 1))
    return cores


def _busy_cores(seconds: float = 0.25) -> float:
    """How many cores work for others, measured for a moment; where that cannot be measured, the load average."""
    before = _cpu_times()
    if before is None:
        return os.getloadavg()[0]
    time.sleep(seconds)
    after = _cpu_times() or before
    passed = after[0] - before[0]
    return (after[1] - before[1]) / passed * (os.cpu_count() or 1) if passed > 0 else 0.0


def _cpu_times() -> tuple[float, float] | None:
    """Ticks of all cores together, and those of them spent working. Ours are among them, but we sleep."""
    words = _words(Path("/proc/stat"))
    if not words or words[0] != "cpu":
        return None
    user, nice, system, idle, waiting, *others = map(float, words[1:9])
    working = user + nice + system + sum(others)
    return working + idle + waiting, working


def _has_nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


# -- memory and disk -------------------------------------------------------------------------------------------


def judge_memory(total: int, available: int | None) -> Check:
    """`total` bytes for this process, `available` of them now if that is known."""
    found = f"{_gib(total)} GiB" + ("" if available is None else f", {_gib(available)} GiB free now")
    if total < ENOUGH_MEMORY:
        return Check("memory", "warning", f"{found}; the default model wants {_gib(ENOUGH_MEMORY)} GiB for tuning")
    return Check("memory", "ok", found)


def _memory() -> tuple[int, int | None]:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _words(Path("/sys/fs/cgroup/memory.max"))
    if limit and limit[0].isdigit():
        total = min(total, int(limit[0]))
    # "MemAvailable: 123 kB"
    words = _words(Path("/proc/meminfo"))
    place = words.index("MemAvailable:") if "MemAvailable:" in words else None
    return total, None if place is None else min(int(words[place + 1]) * 1024, total)


def _disk(place: Path) -> Iterator[Check]:
    from heedful.models.names import cache_folder

    for name, folder in (("disk", place), ("cache", cache_folder())):
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        found = f"{_gib(free)} GiB free for {folder}"
        if not os.access(there, os.W_OK):
            yield Check(name, "missing", f"{there} cannot be written", f"chmod u+w {there}")
        elif free < ENOUGH_DISK:
            remedy = "heedful clean" if name == "disk" else ""
            yield Check(name, "warning", f"{found}; {_gib(ENOUGH_DISK)} GiB are wanted", remedy)
        else:
            yield Check(name, "ok", found)


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f}".removesuffix(".0")


def _words(path: Path) -> list[str]:
    """The words of one of the kernel's small files; none where it does not exist."""
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []
