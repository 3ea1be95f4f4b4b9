"""An installation that cannot be written to begins with the compiled kernels that it came with."""

import os
from pathlib import Path

import pytest

from flows import kernels_cache


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package's own folder, in which somebody has compiled, read-only."""
    folder = tmp_path / "package"
    kernels = folder / "lapwing-kernels-0" / "kernels_1"
    kernels.mkdir(parents=True)
    (kernels / "scan.nbi").write_bytes(b"index")
    (kernels.parent / "complete").touch()
    (kernels / "scan.nbi").chmod(0o444)
    kernels.chmod(0o555)
    writable = kernels_cache._writable
    monkeypatch.setattr(kernels_cache, "_fingerprint", lambda: "0")
    monkeypatch.setattr(kernels_cache, "_package", lambda: folder)
    monkeypatch.setattr(kernels_cache, "_writable", lambda path: path != folder and writable(path))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def test_what_was_shipped_is_copied_and_nothing_is_announced(package: Path, tmp_path: Path) -> None:
    said: list[str] = []
    kernels_cache.announce(said.append)
    assert said == []
    copy = tmp_path / "cache" / "lapwing-kernels-0"
    assert os.environ["NUMBA_CACHE_DIR"] == str(copy)
    assert (copy / "kernels_1" / "scan.nbi").read_bytes() == b"index"
    (copy / "kernels_1" / "scan.nbi").write_bytes(b"numba adds to it")
    assert kernels_cache.prepare() == copy
    assert (copy / "kernels_1" / "scan.nbi").read_bytes() == b"numba adds to it"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [copy.name]


def test_what_was_not_finished_is_not_taken_over(package: Path, tmp_path: Path) -> None:
    (package / "lapwing-kernels-0" / "complete").unlink()
    said: list[str] = []
    kernels_cache.announce(said.append)
    assert len(said) == 1
    assert [*(tmp_path / "cache" / "lapwing-kernels-0").iterdir()] == []
