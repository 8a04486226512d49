"""Golden cases: small files of definitions, each with what is said about it.

A case starts with `## title`; its text follows, further files after `=== name`; lines of `#> ` are what is expected.
`python -m tests.definitions.golden` writes what is said now: look at the difference before you commit it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from stream.definitions import load
from stream.errors import DefinitionError

HERE = Path(__file__).parent
MISTAKES = sorted((HERE / "mistakes").glob("*.txt"))
WARNINGS = sorted((HERE / "warnings").glob("*.txt"))


@dataclass
class Case:
    """One case of a golden file."""

    title: str
    files: dict[str, str]
    expected: list[str] = field(default_factory=list)

    def said(self, folder: Path, base: Path | None) -> list[str]:
        """Problems of the case's files and the base, without the folder's name."""
        paths = [] if base is None else [base]
        for name, text in self.files.items():
            paths.append(folder / name)
            paths[-1].write_text(text, encoding="utf-8")
        try:
            found = list(load(paths).warnings)
        except DefinitionError as error:
            found = error.problems
        said = [str(problem).replace(f"{folder}/", "").removeprefix("case.yaml:") for problem in found]
        return said if base is None else [line.replace(f"{base.parent}/", "") for line in said]

    def written(self) -> str:
        """The case as it stands in its file."""
        first, *others = self.files.items()
        text = first[1] + "".join(f"=== {name}\n{more}" for name, more in others)
        return f"## {self.title}\n{text}" + "".join(f"#> {line}\n" for line in self.expected)


def read_cases(path: Path) -> list[Case]:
    """The cases of a golden file."""
    cases = []
    for part in path.read_text(encoding="utf-8").split("\n## "):
        title, *lines = part.removeprefix("## ").rstrip("\n").split("\n")
        case, name = Case(title, {"case.yaml": ""}), "case.yaml"
        for line in lines:
            if line.startswith("#> "):
                case.expected.append(line[3:])
            elif line.startswith("=== "):
                name = line[4:]
                case.files[name] = ""
            else:
                case.files[name] += line + "\n"
        cases.append(case)
    return cases


def base_of(path: Path) -> Path | None:
    """What the cases of a file are loaded together with."""
    base = path.with_name("base.yaml")
    return base if base.exists() else None


if __name__ == "__main__":
    for golden in (*MISTAKES, *WARNINGS):
        cases = read_cases(golden)
        for one in cases:
            with tempfile.TemporaryDirectory() as place:
                one.expected = one.said(Path(place), base_of(golden))
        golden.write_text("\n".join(one.written() for one in cases), encoding="utf-8")
