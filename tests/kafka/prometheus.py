"""A real Prometheus in a process of its own, that scrapes one worker every second."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.kafka.broker import free_port
from tests.kafka.harness import PATIENCE, ROOT

RULES = ROOT / "deploy" / "prometheus" / "rules"


class Prometheus:
    """Debian's package `prometheus`, with the deployment's own rules."""

    def __init__(self, folder: Path, target: int) -> None:
        program = shutil.which("prometheus")
        assert program is not None
        self.port = free_port()
        folder.mkdir(parents=True)
        config = folder / "prometheus.yml"
        scrape = {"job_name": "segstream", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
        content = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES / "*.yml")],
            "scrape_configs": [scrape],
        }
        config.write_text(yaml.safe_dump(content))
        self._log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=self._log,
            stderr=self._log,
        )
        self._wait()

    def scrapes(self) -> bool:
        """Whether the worker answers it: it takes some seconds to begin."""
        now = time.time()
        return 1.0 in self.values("up", now, now)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        self._log.close()

    def series(self, expression: str, start: float, end: float) -> list[list[float]]:
        """The values of each series that the expression gave between two Unix times, second by second."""
        query = {"query": expression, "start": start, "end": end, "step": 1}
        found = self._get(f"/api/v1/query_range?{urllib.parse.urlencode(query)}")["data"]["result"]
        return [[float(value) for _, value in each["values"]] for each in found]

    def values(self, expression: str, start: float, end: float) -> list[float]:
        """All numbers that the expression gave; those that are none (NaN) are left out."""
        return [value for each in self.series(expression, start, end) for value in each if value == value]

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return json.load(answer)

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=1).close()
                return
            except OSError:
                assert self.process.poll() is None, "Prometheus ended"
                assert time.monotonic() < deadline, "Prometheus did not start"
                time.sleep(0.1)
