"""Puts the compiled engine into a wheel: `HATCH_BUILD_HOOK_ENABLE_CUSTOM=true pip install .`, or `make wheel`.

Such a wheel is for one platform and one release of Python, and carries the sources as well. Without the variable the
wheel is plain Python and runs everywhere.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))


class CompiledWheel(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles the engine of the checkout and adds its modules to what the wheel holds."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Hatchling calls this before it collects the files. An editable install is `make compile`'s business."""
        if version == "editable":
            return
        from compile_engine import compile_engine

        modules = compile_engine(Path(self.root))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for file in sorted(modules.rglob("*")):
            if file.is_file():
                build_data["force_include"][str(file)] = str(file.relative_to(modules))
