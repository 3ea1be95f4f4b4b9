"""What a step raises, heard before the engine has it: with several processes that keeps no cause of a failure."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Final

from bytewax.dataflow import Dataflow, Operator

Tell = Callable[[BaseException], None]
_CALLED: Final = ("next_batch", "on_batch", "on_eof", "write_batch", "snapshot", "close")


def hear(flow: Dataflow, tell: Tell) -> None:
    """Tell every error that sources, sinks and steps of a flow raise; it takes its way all the same."""
    for step in _steps(flow.substeps):
        for name in ("source", "sink"):
            end = vars(step).get(name)
            if end is not None:
                end.build_part = _built(end.build_part, tell)
        for name, heard in (("builder", _built), ("mapper", _heard)):
            call = vars(step).get(name)
            if call is not None and not step.substeps:
                object.__setattr__(step, name, heard(call, tell))  # what describes a step is frozen


def _steps(steps: Iterable[Operator]) -> Iterable[Operator]:
    for step in steps:
        yield step
        yield from _steps(step.substeps)


def _heard(call: Callable[..., Any], tell: Tell) -> Callable[..., Any]:
    @wraps(call)
    def wrapped(*given: Any) -> Any:
        try:
            return call(*given)
        except StopIteration:
            raise
        except BaseException as error:
            tell(error)
            raise

    return wrapped


def _built(build: Callable[..., Any], tell: Tell) -> Callable[..., Any]:
    """What builds a part whose calls are heard, too."""
    heard = _heard(build, tell)

    @wraps(build)
    def wrapped(*given: Any) -> Any:
        part = heard(*given)
        for name in _CALLED:
            call = getattr(part, name, None)
            if call is not None:
                setattr(part, name, _heard(call, tell))
        return part

    return wrapped
