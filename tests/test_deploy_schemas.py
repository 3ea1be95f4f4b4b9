"""Manifests against Kubernetes' own schemas, and the Dockerfile by its linter."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.command import ROOT
from tests.test_deploy import manifests


@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("manifest", manifests(), ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_a_manifest_is_what_kubernetes_takes(manifest: dict[str, Any], version: str) -> None:
    """Strictly: a member that the schema does not know is a mistake. 1.30 is the oldest that is promised."""
    kubernetes_validate.validate(manifest, version, strict=True)


def test_a_misspelt_member_is_noticed() -> None:
    manifest = next(one for one in manifests() if one["kind"] == "StatefulSet")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**manifest, "spec": {**manifest["spec"], "replica": 1}}, "1.37", strict=True)


def test_the_dockerfile_has_no_warning() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "deploy" / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
