"""Our own loops on torch's threads: tasks, which any thread takes from a counter.

torch's threads belong to OpenMP, and look for work for milliseconds after each operation before they sleep. Threads of ours
would share their cores meanwhile, and be late. So OpenMP is asked to run our loops, as it runs torch's: the function that
compilers call for `#pragma omp parallel` (GOMP_parallel) is called by address. Where torch comes with another OpenMP, a pool of
threads does the same, later.

What a task does must depend on its number alone, not on who takes it: equal bits, however many threads there are.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numba import cfunc, types


def addresses(*tensors: torch.Tensor) -> list[int]:
    """Where their numbers begin."""
    return [tensor.data_ptr() for tensor in tensors]


class SharedLoop:
    """A function like this, on all threads; it must be a module's, and is compiled when it is first called:

    def loop(data):
        task = next_task(data)
        while task >= 0:
            ...  # with argument(data, 0), argument(data, 1), which are 64-bit integers
            task = next_task(data)
    """

    def __init__(self, function: Callable[[int], None]) -> None:
        self._function = function

    def __call__(self, num_tasks: int, *arguments: int) -> None:
        """Returns when all tasks are done. Addresses must stay valid until then."""
        data = np.array([0, num_tasks, *arguments], np.int64)
        num_threads = min(num_tasks, torch.get_num_threads())
        if num_threads > 1:
            _in_all_threads()(self._compiled.address, data.ctypes.data, num_threads)
        else:
            self._compiled.ctypes(data.ctypes.data)

    @cached_property
    def _compiled(self) -> Any:
        return cfunc(types.void(types.int64), cache=True)(self._function)


_Signature = ctypes.CFUNCTYPE(None, ctypes.c_int64)


@cache
def _in_all_threads() -> Callable[[int, int, int], object]:
    """(address of a loop, address of its data, number of threads) -> None."""
    parallel = _gomp_parallel()
    if parallel is not None:
        return lambda loop, data, num: parallel(loop, data, num, 0)
    pool = ThreadPoolExecutor(max(1, torch.get_num_threads() - 1), thread_name_prefix="heedful-train")

    def in_pool(loop: int, data: int, num: int) -> None:
        function = _Signature(loop)
        others = [pool.submit(function, data) for _ in range(num - 1)]
        function(data)
        for other in others:
            other.result()

    return in_pool


def _gomp_parallel() -> Any:
    """Of the OpenMP that torch was built with; None where that is not GNU's."""
    package = Path(torch.__file__).parent
    for path in sorted([*package.glob("lib/libgomp*.so*"), *package.parent.glob("torch.libs/libgomp*.so*")]):
        try:
            function = ctypes.CDLL(str(path)).GOMP_parallel
        except (OSError, AttributeError):
            continue
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        function.restype = None
        return function
    return None
