"""Labelled tables of our own, with anomalies of several kinds, and streams in which attacks come in runs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

Rows = NDArray[np.float64]
Table = tuple[Rows, NDArray[np.int64]]


def read(path: Path) -> Table:
    """The rows and labels of an ADBench file."""
    with np.load(path) as table:
        return np.ascontiguousarray(table["X"], np.float64), table["y"].astype(np.int64).ravel()


def mixed(normal: Rows, odd: Rows, rng: np.random.Generator) -> Table:
    """Anomalies anywhere."""
    rows, label = at_end(normal, odd)
    order = rng.permutation(len(rows))
    return rows[order], label[order]


def at_end(normal: Rows, odd: Rows) -> Table:
    """All anomalies last, as in many files."""
    return np.concatenate([normal, odd]), np.repeat(np.array([0, 1]), [len(normal), len(odd)])


def in_runs(normal: Rows, odd: Rows, after: int, lengths: Sequence[int], rng: np.random.Generator) -> Table:
    """Runs of anomalies at even distances after so many normal rows; each anomaly again and again, if they are few."""
    starts = after + np.arange(len(lengths)) * (len(normal) - after) // len(lengths)
    drawn = np.resize(rng.permutation(len(odd)), sum(lengths))
    runs = np.split(odd[drawn], np.cumsum(lengths)[:-1])
    rows, label = [], []
    for part, run in zip(np.split(normal, starts), [normal[:0], *runs], strict=True):
        rows += [run, part]
        label += [np.ones(len(run), np.int64), np.zeros(len(part), np.int64)]
    return np.concatenate(rows), np.concatenate(label)


class _Clusters:
    def __init__(self, rng: np.random.Generator, clusters: int, features: int, apart: float) -> None:
        self._rng = rng
        self._centre = rng.normal(size=(clusters, features)) * apart
        self._shape = rng.normal(size=(clusters, features, features)) / np.sqrt(features)
        self._share = rng.dirichlet(np.full(clusters, 3.0))

    def draw(self, n: int, wider: float = 1.0) -> Rows:
        one = self._rng.choice(len(self._share), n, p=self._share)
        noise = self._rng.normal(size=(n, self._centre.shape[1]))
        return self._centre[one] + wider * np.einsum("nij,nj->ni", self._shape[one], noise)


def _counts(rng: np.random.Generator, n: int, odd: bool) -> Rows:
    kind = rng.choice(4, n, p=None if odd else [0.6, 0.25, 0.1, 0.05])
    rate = np.array([1.0, 5.0, 20.0, 60.0])[rng.choice(4, n) if odd else kind] * (3 if odd else 1)
    return np.column_stack(
        [
            rng.poisson(rate), np.exp(rng.normal(np.log(rate + 1), 1.5 if odd else 1.0)), np.eye(4)[kind],
            rng.random(n) < (0.2 if odd else 0.02), rng.random(n) < (0.5 if odd else 0.3),
            rng.pareto(1.2 if odd else 2.0, n), np.zeros(n),
        ]
    )  # fmt: skip


def _sizes(rng: np.random.Generator, n: int, odd: bool) -> Rows:
    """Logarithms of durations and bytes, as of a web server."""
    if odd:
        return np.column_stack([np.full(n, -2.3), rng.normal(10.9, 0.02, n), rng.normal(9, 0.05, n)])
    waves = 0.5 * np.sin(np.arange(n) / 5_000)
    quick = np.where(rng.random(n) < 0.9, -2.3, rng.exponential(1.0, n))
    return np.column_stack([quick, rng.normal(5.5, 0.4, n), rng.normal(7.5, 1.4, n) + waves])


def _moving(rng: np.random.Generator, slower: float) -> Table:
    n = 30_000
    t = np.arange(n)
    hidden = np.column_stack(
        [np.sin(t / (3_000 * slower)), np.cumsum(rng.normal(size=n)) * 0.02 / slower, t / (8_000 * slower)]
    )
    rows = hidden @ rng.normal(size=(3, 7)) + rng.normal(size=(n, 7)) * 0.5
    return _disturbed(rows, 1.8, rng)


def _disturbed(rows: Rows, by: float, rng: np.random.Generator) -> Table:
    label = np.zeros(len(rows), np.int64)
    label[rng.choice(np.arange(1_000, len(rows)), 300, replace=False)] = 1
    rows[label == 1] += rng.normal(size=(300, rows.shape[1])) * by
    return rows, label


def made() -> Iterator[tuple[str, Table]]:
    """The tables."""
    rng = np.random.default_rng(20_260)
    normal = _Clusters(rng, 3, 8, 3.0)
    yield "local", mixed(normal.draw(8_000), normal.draw(240, 3.0), rng)
    rows = _Clusters(rng, 3, 12, 3.0).draw(5_000)
    yield "global", mixed(rows, rng.uniform(rows.min(axis=0), rows.max(axis=0), (100, 12)), rng)
    rows = rng.normal(size=(6_000, 2)) @ rng.normal(size=(2, 6)) + 0.4 * rng.normal(size=(6_000, 6))
    rows[:, 0], rows[:, 1] = np.exp(rows[:, 0] / 2), rows[:, 1] ** 3 / 5
    yield "dependency", mixed(rows, np.column_stack([rng.choice(rows[:, f], 300) for f in range(6)]), rng)
    rows = _Clusters(rng, 3, 10, 2.0).draw(6_000)
    odd = rows.mean(axis=0) + rows.std(axis=0) * rng.choice([0, 0, 2.5, -2.5], 10) + 0.3 * rng.normal(size=(300, 10))
    yield "clustered, mixed", mixed(rows, odd, rng)
    yield "clustered, at the end", at_end(rows, odd)
    rows, odd = rng.normal(size=(2_250, 200)), rng.normal(size=(250, 200))
    rows[:, :20] = rng.normal(size=(2_250, 3)) @ rng.normal(size=(3, 20)) + 0.5 * rng.normal(size=(2_250, 20))
    odd[:, :20] *= 2.0
    for part, share in ((rows, 0.05), (odd, 0.12)):
        part[:, 150:170], part[:, 170:] = 0.0, rng.random((len(part), 30)) < share
    yield "200 columns", at_end(rows, odd)
    yield "counts", mixed(_counts(rng, 20_000, False), _counts(rng, 200, True), rng)
    rows = rng.normal(size=(650, 4)) @ rng.normal(size=(4, 20)) + 0.7 * rng.normal(size=(650, 20))
    yield "a third", mixed(rows, rng.normal(size=(350, 20)) * rng.uniform(0.5, 2.5, 20), rng)
    hidden = rng.normal(size=(5, 30))
    rows = np.exp(0.4 * (rng.normal(size=(190, 5)) @ hidden + 0.7 * rng.normal(size=(190, 30))))
    odd = np.exp(0.4 * ((rng.normal(size=(10, 5)) + 1.0) @ hidden + 1.2 * rng.normal(size=(10, 30))))
    yield "200 rows", at_end(rows, odd)
    yield "moving", _moving(rng, 1.0)
    yield "moving slowly", _moving(rng, 3.0)
    rows = _Clusters(rng, 3, 7, 2.0).draw(30_000)
    rows[12_000:] += rng.normal(size=7) * 2.5
    yield "new level", _disturbed(rows, 2.5, rng)
    yield "one of 12 clusters", mixed(_Clusters(rng, 12, 12, 2.0).draw(1_400), _Clusters(rng, 2, 12, 1.5).draw(50), rng)
    whole = [np.clip(_Clusters(rng, k, 16, 2.0).draw(n) * 12 + 50, 0, 100).round() for k, n in ((9, 6_000), (1, 150))]
    yield "whole numbers", mixed(whole[0], whole[1], rng)


def bundled() -> Iterator[tuple[str, Table]]:
    """Small tables that come with scikit-learn: one class is the anomaly, and made rare."""
    rng = np.random.default_rng(20_262)
    for name, load, odd, most in (
        ("breast cancer", load_breast_cancer, 0, 40),
        ("wine", load_wine, 0, 10),
        *((f"digits, {digit}", load_digits, digit, 40) for digit in (0, 3, 6, 9)),
    ):
        rows, label = load(return_X_y=True)
        yield name, mixed(rows[label != odd].astype(float), rows[label == odd][:most].astype(float), rng)
        if name != "digits, 0":
            continue
        yield "digits, 0 at the end", at_end(rows[label != odd].astype(float), rows[label == odd][:most].astype(float))


def runs(folder: Path) -> Iterator[tuple[str, Table]]:
    """The streams. Those of `folder` are a table's normal rows in their order, and its anomalies in runs.

    Of smtp and annthyroid only the anomalies that are strange one by one: half of the others lie among normal rows.
    """
    for name, after, lengths in (
        ("shuttle", 10_000, (3_000,)),
        ("shuttle", 5_000, (1_000, 1_500, 1_000)),
        ("smtp", 10_000, (2_000, 1_000, 3_000)),
        ("annthyroid", 3_000, (1_000,)),
    ):
        rng = np.random.default_rng([20_261, *lengths])
        path = folder / f"{name}.npz"
        if not path.exists():
            continue
        rows, label = read(path)
        odd = rows[label == 1]
        if name in ("smtp", "annthyroid"):
            odd = odd[odd[:, 1] < 3.0] if name == "smtp" else odd[odd[:, 1] > 0.02]
        yield f"{name}, {'+'.join(map(str, lengths))}", in_runs(rows[label == 0], odd, after, lengths, rng)
    rng = np.random.default_rng(20_261)
    yield "sizes, 1300+700", in_runs(_sizes(rng, 60_000, False), _sizes(rng, 2_000, True), 20_000, (1_300, 700), rng)
    rows = rng.normal(size=(40_000, 5)) @ rng.normal(size=(5, 5))
    for far in (4.0, 8.0):
        odd = rng.normal(size=(6_000, 5)) * 0.2 + far * np.array([1.0, -0.75, 0.0, 0.75, 0.0])
        yield f"gaussian {far:.0f}, 3000+1000+2000", in_runs(rows, odd, 2_000, (3_000, 1_000, 2_000), rng)
    rows = _Clusters(rng, 3, 10, 2.0).draw(6_000)
    odd = rows.mean(axis=0) + rows.std(axis=0) * rng.choice([0, 0, 2.5, -2.5], 10) + 0.3 * rng.normal(size=(3_000, 10))
    yield "clusters, 1000+2000", in_runs(rows, odd, 2_000, (1_000, 2_000), rng)
    yield "counts, 2000", in_runs(_counts(rng, 20_000, False), _counts(rng, 2_000, True), 3_000, (2_000,), rng)


def _moved(rows: Rows, n: int, by: float, share: float, rng: np.random.Generator) -> Rows:
    """Rows drawn again, by so many deviations away in a share of the columns."""
    away = np.zeros(rows.shape[1])
    columns = rng.choice(len(away), max(1, round(share * len(away))), replace=False)
    away[columns] = by * rng.choice([-1, 1], len(columns))
    return rows[rng.choice(len(rows), n)] + away * rows.std(axis=0)


def _narrow(rows: Rows, n: int, far: float, rng: np.random.Generator) -> Rows:
    """A cluster of a fifth of the width, so many deviations a column away."""
    away = rng.normal(size=rows.shape[1])
    away *= far / np.sqrt((away**2).mean())
    return rows.mean(axis=0) + rows.std(axis=0) * (away + 0.2 * rng.normal(size=(n, len(away))))


def _wider(rows: Rows, n: int, by: float, rng: np.random.Generator) -> Rows:
    return rows.mean(axis=0) + (rows[rng.choice(len(rows), n)] - rows.mean(axis=0)) * by


def _permuted(rows: Rows, n: int, rng: np.random.Generator) -> Rows:
    """Each value from any row: only what columns have to do with each other is lost."""
    return np.column_stack([rng.choice(rows[:, f], n) for f in range(rows.shape[1])])


def weak_runs(folder: Path, seed: int) -> Iterator[tuple[str, Table]]:
    """Streams whose runs are near what is normal: the choice looks at one seed of them, `quality_tables` at another."""
    rng = np.random.default_rng([20_263, seed])
    rows = rng.normal(size=(30_000, 5)) @ rng.normal(size=(5, 5))
    for far in (1.0, 1.5):
        yield f"narrow {far}, 1500+3000", in_runs(rows, _narrow(rows, 4_500, far, rng), 2_500, (1_500, 3_000), rng)
    for by in (1.0, 1.5):
        yield f"moved {by}, 4000", in_runs(rows, _moved(rows, 4_000, by, 1.0, rng), 4_000, (4_000,), rng)
    yield "wider 2, 1000+2000", in_runs(rows, _wider(rows, 3_000, 2.0, rng), 3_000, (1_000, 2_000), rng)
    clusters = _Clusters(rng, 4, 12, 2.0)
    rows = clusters.draw(20_000)
    odd = _moved(rows, 4_000, 1.5, 0.34, rng)
    yield "clusters moved 1.5, 2500+1500", in_runs(rows, odd, 2_500, (2_500, 1_500), rng)
    yield "clusters wider 1.5, 3000", in_runs(rows, clusters.draw(3_000, 1.5), 5_000, (3_000,), rng)
    odd = _counts(rng, 4_500, True)
    yield "counts, 1000+1000+2500", in_runs(_counts(rng, 20_000, False), odd, 4_000, (1_000, 1_000, 2_500), rng)
    for name, after, length in (("annthyroid", 3_000, 1_500), ("cardio", 800, 1_000)):
        if (path := folder / f"{name}.npz").exists():
            rows, label = read(path)
            rows, odd = rows[label == 0], rows[label == 1]
            yield f"{name}, every anomaly, {length}", in_runs(rows, odd, after, (length,), rng)


def other_runs(folder: Path) -> Iterator[tuple[str, Table]]:
    """Streams of kinds that no choice looked at: other normal rows, other attacks, other lengths."""
    rng = np.random.default_rng(20_264)
    rows = np.exp(0.7 * rng.normal(size=(25_000, 3)) @ rng.normal(size=(3, 8)) + 0.5 * rng.normal(size=(25_000, 8)))
    lengths = (1_000,) * 5
    yield (
        "logarithmic, moved 1.5 of half, 5x1000",
        in_runs(rows, _moved(rows, 5_000, 1.5, 0.5, rng), 3_000, lengths, rng),
    )
    yield "logarithmic, permuted, 2000", in_runs(rows, _permuted(rows, 2_000, rng), 8_000, (2_000,), rng)
    rows = np.zeros((40_000, 6))
    noise = rng.normal(size=rows.shape) @ rng.normal(size=(6, 6))
    for i in range(1, len(rows)):
        rows[i] = 0.9 * rows[i - 1] + noise[i]
    yield "each like the last, moved 1.5, 1200", in_runs(rows, _moved(rows, 1_200, 1.5, 1.0, rng), 9_000, (1_200,), rng)
    yield "each like the last, narrow 2, 5000", in_runs(rows, _narrow(rows, 5_000, 2.0, rng), 15_000, (5_000,), rng)
    rows = rng.normal(size=(20_000, 6)) @ rng.normal(size=(6, 30)) + 0.5 * rng.normal(size=(20_000, 30))
    odd = _permuted(rows, 4_500, rng)
    yield "30 columns, permuted, 3000+1500", in_runs(rows, odd, 1_000, (3_000, 1_500), rng)
    yield "30 columns, one moved 3, 2000", in_runs(rows, _moved(rows, 2_000, 3.0, 0.01, rng), 6_000, (2_000,), rng)
    odd = _moved(rows, 3_000, 1.5, 1.0, rng)
    rows_of_run, label = mixed(rows[:1_000], odd, rng)
    parts, labels = [rows[1_000:8_000], rows_of_run, rows[8_000:]], [np.zeros(7_000), label, np.zeros(12_000)]
    yield "30 columns, a quarter of the run normal", (np.concatenate(parts), np.concatenate(labels).astype(np.int64))
    t = np.arange(30_000)[:, None]
    rows = np.sin(t / 6_000 + np.arange(5)) + t / 40_000 + 0.5 * rng.normal(size=(30_000, 5))
    yield (
        "waves and a trend, moved 2, 1500+2500",
        in_runs(rows, _moved(rows, 4_000, 2.0, 1.0, rng), 7_000, (1_500, 2_500), rng),
    )
    rows = np.clip(_Clusters(rng, 5, 10, 2.0).draw(15_000) * 12 + 50, 0, 100).round()
    yield "whole numbers, wider 1.5, 1500", in_runs(rows, _wider(rows, 1_500, 1.5, rng), 4_000, (1_500,), rng)
    yield "whole numbers, one row again and again", in_runs(rows, rows[:1] + 9.0, 4_000, (2_000,), rng)
    for name, after, lengths in (("smtp", 30_000, (1_000, 4_000)), ("shuttle", 8_000, (5_000,))):
        if (path := folder / f"{name}.npz").exists():
            rows, label = read(path)
            rows = rows[label == 0]
            odd = _moved(rows, sum(lengths), 2.0, 0.5, rng)
            yield f"{name}, moved 2 of half, {'+'.join(map(str, lengths))}", in_runs(rows, odd, after, lengths, rng)


def all_tables(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """What a choice looks at: the tables of the folder, scikit-learn's, those made here, and the streams."""
    found = {name: read(folder / f"{name}.npz") for name in names if (folder / f"{name}.npz").exists()}
    streams = (("runs", runs(folder)), ("weak", weak_runs(folder, 1)))
    return (
        found
        | dict(bundled())
        | dict(made())
        | {f"{kind}: {name}": table for kind, tables in streams for name, table in tables}
    )
