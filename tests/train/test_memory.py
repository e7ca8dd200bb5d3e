"""Freed memory is taken again without the system's help, from the first step of training on."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_CHILD = """
import resource
import torch
from heedful.train.computing import memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = faults()
assert memory.keep_freed_memory()
faults(), faults()  # until places have been found that fit
print(usual, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only GNU's allocator can be told")
def test_large_tensors_are_not_mapped_anew() -> None:
    done = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True)
    usual, kept = map(int, done.stdout.split())
    # Ten times 64 MB: pages of 4 kB, or of 2 MB where the system makes them large.
    assert usual >= 200
    assert kept < usual / 10
