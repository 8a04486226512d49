"""Files are packed as their names say, and read again."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard

from stream.replay import Log
from stream.replay.packing import packed

LINES = [b'{"a": %d}\n' % number for number in range(1_000)]


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz", "log.jsonl.zst"])
def test_what_is_written_is_read_again_and_is_always_the_same(tmp_path: Path, name: str) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        with packed(tmp_path / folder / name) as file:
            file.write(LINES[0])
            file.writelines(LINES[1:])
    one, other = (tmp_path / folder / name for folder in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
    assert [record.raw for record in Log(str(one)).records()] == [line.strip() for line in LINES]


def test_names_say_how(tmp_path: Path) -> None:
    content = b"".join(LINES)
    for name in ("plain", "a.gz", "a.zst"):
        with packed(tmp_path / name) as file:
            file.write(content)
    assert (tmp_path / "plain").read_bytes() == content
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == content
    assert zstandard.ZstdDecompressor().stream_reader((tmp_path / "a.zst").read_bytes()).read() == content
