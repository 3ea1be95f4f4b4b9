"""Detectors of River and scikit-learn over a table, beside ours: for comparison only, never in the live flow."""

import ast
import inspect
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.errors import UsageError

_FIRST_FIT: Final = 256
_GROWTH: Final = 1.25
"""A batch detector is fitted anew when there are so many times the rows of its last fit: about 37 fits in a million."""


class RiverDetector:
    """An anomaly detector of River, asked for each row and then taught it, as River's own evaluation does.

    One that River calls supervised judges the last column, `y`, beside the others. Rows with a value that is missing or
    not finite are neither scored nor learned. A score that River gives as NaN or infinite is not known.
    """

    def __init__(self, model: Any, names: tuple[str, ...], supervised: bool) -> None:
        self._model, self._names, self._supervised = model, names, supervised

    def score_learn(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """A score for each row; NaN is not known."""
        scores = np.full(len(rows), np.nan)
        whole = np.isfinite(rows).all(axis=1)
        for at in np.flatnonzero(whole).tolist():
            row = dict(zip(self._names, rows[at].tolist(), strict=True))
            given = (row, row.pop(self._names[-1])) if self._supervised else (row,)
            # Some divide by what they know nothing of yet.
            with suppress(ZeroDivisionError):
                score = float(self._model.score_one(*given))
                scores[at] = score if math.isfinite(score) else np.nan
            self._model.learn_one(*given)
        return scores


class BatchDetector:
    """A detector of scikit-learn that is fitted to all rows before, again and again: the batch reference.

    The first fit is at 256 rows, each other when there are a quarter more rows than at the last. Memory is all rows.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._model: Any = None
        self._seen: list[NDArray[np.float64]] = []
        self._rows, self._next = 0, _FIRST_FIT

    def score_learn(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """A score for each row, higher is stranger; NaN before the first fit and where a value is not finite."""
        scores = np.full(len(rows), np.nan)
        whole = np.flatnonzero(np.isfinite(rows).all(axis=1))
        while len(whole):
            now, whole = np.split(whole, [self._next - self._rows])
            if self._model is not None:
                scores[now] = -self._model.score_samples(rows[now])
            self._seen.append(rows[now])
            self._rows += len(now)
            if self._rows == self._next:
                self._seen = [np.concatenate(self._seen)]
                self._model = self._make().fit(self._seen[0])
                self._next = math.ceil(self._rows * _GROWTH)
        return scores


Reference = RiverDetector | BatchDetector
_MISTAKES: Final = (TypeError, ValueError, AttributeError)
"""What an option of a wrong kind or size leads to: neither library checks all of them when a detector is made."""


def reference(library: str, name: str, options: Mapping[str, str], columns: tuple[str, ...]) -> Callable[[], Reference]:
    """What makes a detector of that name in a library, such as `anomaly.LocalOutlierFactor` or `IsolationForest`.

    Of River, transformers may stand before it: `preprocessing.MinMaxScaler|anomaly.HalfSpaceTrees`.

    Raises
    ------
    UsageError
        There is no such detector, or an option that it does not know or refuses.
    """
    found = _batch(name, options) if library == "sklearn" else _river(name, options, columns)
    trial = np.random.default_rng(0).random((_FIRST_FIT + 1, len(columns)))
    try:
        found().score_learn(trial)
    except _MISTAKES as error:
        raise UsageError(f"--detector {library}:{name}: {' '.join(str(error).split())}") from None
    return found


def _batch(name: str, options: Mapping[str, str]) -> Callable[[], Reference]:
    from sklearn import base, ensemble, neighbors

    found = getattr(ensemble, name, None) or getattr(neighbors, name, None)
    if not inspect.isclass(found) or not issubclass(found, base.OutlierMixin):
        raise UsageError(f"--detector sklearn:{name}: there is no such detector; IsolationForest is one")
    checked = _checked(f"sklearn:{name}", found, options)
    checked |= {"novelty": True} if "novelty" in inspect.signature(found).parameters else {}
    return lambda: BatchDetector(lambda: found(**checked))


def _river(name: str, options: Mapping[str, str], columns: tuple[str, ...]) -> Callable[[], Reference]:
    from river import anomaly, base, preprocessing

    places = {"anomaly": anomaly, "preprocessing": preprocessing}
    judges = base.AnomalyDetector, base.SupervisedAnomalyDetector

    def named(text: str) -> Any:
        module, _, last = text.rpartition(".")
        found = getattr(places.get(module), last, None)
        if not inspect.isclass(found):
            raise UsageError(f"--detector river:{text}: there is no such thing in River; {known}")
        return found

    classes = {one: getattr(anomaly, one) for one in anomaly.__all__}
    known = f"its detectors are {', '.join(f'anomaly.{n}' for n, kind in classes.items() if issubclass(kind, judges))}"
    *before, last = name.split("|")
    found = named(last)
    if not issubclass(found, judges):
        raise UsageError(f"--detector river:{last}: is no detector; {known}")
    steps, checked = [named(step) for step in before], _checked(f"river:{last}", found, options)

    def make() -> Reference:
        model = found(**checked)
        for step in reversed(steps):
            model = step() | model
        return RiverDetector(model, columns, issubclass(found, judges[1]))

    return make


def _checked(name: str, kind: Any, options: Mapping[str, str]) -> dict[str, Any]:
    known = [one for one in inspect.signature(kind).parameters if one not in ("args", "kwargs")]
    if unknown := [key for key in options if key not in known]:
        raise UsageError(f"--detector {name}: does not know {', '.join(unknown)}; it knows {', '.join(known)}")
    # The same table always gives the same scores.
    seeds = {key: 0 for key in ("seed", "random_state") if key in known}
    return seeds | {key: _value(text) for key, text in options.items()}


def _value(text: str) -> Any:
    """What an option's text stands for: a number, True, False, None, else the text.

    >>> _value("20"), _value("0.5"), _value("None"), _value("auto")
    (20, 0.5, None, 'auto')
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
