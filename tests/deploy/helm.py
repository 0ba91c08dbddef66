"""The real `helm`, called as a person calls it. Not a chart's judge: tests read what it prints.

`make deploy-tools` puts it into .tools; TERNMQ_HELM names another one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "deploy" / "helm" / "ternmq"
VALUES = Path(__file__).resolve().parent / "values"


class HelmFailed(Exception):
    """helm ended with an error; the text is what it printed."""


def find_helm() -> str | None:
    """The path of helm, None where there is none."""
    return os.environ.get("TERNMQ_HELM") or shutil.which("helm", path=f"{ROOT / '.tools'}:{os.environ.get('PATH', '')}")


@dataclass
class Helm:
    """One helm with its own folder for caches and settings."""

    path: str
    home: Path
    kubeconfig: Path | None = None

    def run(self, *arguments: str, seconds: float = 120) -> str:
        """Standard output. Errors: HelmFailed."""
        environment = {
            "PATH": os.environ.get("PATH", ""), "HOME": str(self.home), "HELM_CACHE_HOME": str(self.home / "cache"),
            "HELM_CONFIG_HOME": str(self.home / "config"), "HELM_DATA_HOME": str(self.home / "data"),
        }  # fmt: skip
        if self.kubeconfig is not None:
            environment["KUBECONFIG"] = str(self.kubeconfig)
        done = subprocess.run(
            [self.path, *arguments], capture_output=True, text=True, env=environment, timeout=seconds, cwd=self.home
        )
        if done.returncode != 0:
            raise HelmFailed(f"helm {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def template(self, *arguments: str, chart: Path = CHART, release: str = "my-nats") -> str:
        """The rendering of a chart."""
        return self.run("template", release, str(chart), *arguments)
