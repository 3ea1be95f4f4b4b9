"""Calls to compiled kernels without a look at the arguments' types.

At every call numba works out the types of all arguments; for a shard's tuple of arrays that costs eight times the
call itself (20 us, and there are 200 calls a batch). A kernel of a shard is always called with the same types, so
after the first call its compiled form is called directly. Only kernels whose every caller passes the same types may be
wrapped: a wrong number of dimensions or item size is still refused; another type of the same size, or an array that
does not lie in one piece, is misread in silence. `models.windows.waiting.row_arrays` sees to the latter.
"""

from collections.abc import Callable
from typing import Any

from numba import config


def direct(kernel: Any) -> Callable[..., Any]:
    """The kernel, called as it stands after its first call. With NUMBA_DISABLE_JIT it is the function itself."""
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        plain: Callable[..., Any] = kernel
        return plain
    entry: list[Callable[..., Any]] = []

    def call(*arguments: Any) -> Any:
        if entry:
            return entry[0](*arguments)
        result = kernel(*arguments)
        (compiled,) = kernel.overloads.values()
        entry.append(compiled.entry_point)
        return result

    return call
