"""Nothing halves an index: no kill, no full disk, no second build; and nobody reads two builds at once."""

import gc
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from building import VersionReader, build, load, versions
from conftest import ROOT, unprivileged
from szqa.assistant import Assistant
from szqa.errors import IndexBusyError, IndexMissingError, IndexWriteError, SzqaError
from szqa.generations import LOCK_NAME, build_lock, lease
from szqa.manifest import MANIFEST_NAME, Manifest
from szqa.retriever import Retriever
from szqa.store import FaissStore
from szqa.text import Segmenter

SCRIPT = Path(__file__).parent / "building.py"


@pytest.fixture(autouse=True)
def _one_segmenter(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("szqa.index.Segmenter", lambda _: segmenter)  # a second to make


class Helper:
    """``building.py`` in a process of its own, killed at the end where it still runs."""

    def __init__(self, *arguments: object) -> None:
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        )

    def __enter__(self) -> "Helper":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def read_line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, self.process.communicate()[1]
        return line

    def tell(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> list[str]:
        """Kill it at once; the lines it had printed since the last one read."""
        self.process.kill()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        output = self.process.stdout.read()  # communicate() would lose what was read ahead of the last line
        errors = self.process.stderr.read()
        assert "Traceback" not in errors, errors
        return output.splitlines()


def generations(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.startswith("generation-")}


# Kills


def _kill_builds(folder: Path, segmenter: Segmenter, *, kills: int, seed: int) -> int:
    """Kill builders at random moments; how many of them were writing or removing files just then."""
    moments = random.Random(seed)  # noqa: S311 - no secret
    committed, interrupted = 0, 0
    started = time.perf_counter()
    index = build(committed, segmenter)
    built = time.perf_counter()
    index.save(folder, sources={})
    saving_s, building_s = time.perf_counter() - built, built - started
    for kill in range(kills):
        with Helper("forever", folder, committed + 1) as helper:
            assert helper.read_line() == "ready"
            if kill % 2:  # half of them anywhere, half of them while it writes
                assert helper.read_line() == "saving"
                time.sleep(moments.uniform(0, saving_s))
            else:
                time.sleep(moments.uniform(0, 3 * (building_s + saving_s)))
            said = [line for line in helper.kill() if line.isdigit()]
        index = load(folder)
        (version,) = versions(index)
        number = int(version.strip("第版"))
        assert number >= committed
        # Killed between putting the manifest into place and saying so, it is one further.
        assert number - (int(said[-1]) if said else committed) in (0, 1)
        committed = number
        assert index.manifest is not None
        interrupted += generations(folder) != {index.manifest.generation}
    return interrupted


def test_a_killed_build_leaves_the_index_of_before(tmp_path: Path, segmenter: Segmenter) -> None:
    _kill_builds(tmp_path, segmenter, kills=3, seed=7)
    manifest = build(0, segmenter).save(tmp_path, sources={})
    assert {path.name for path in tmp_path.iterdir()} - {LOCK_NAME} == {MANIFEST_NAME, manifest.generation}


@pytest.mark.long
def test_fifty_builds_killed_at_random_moments(
    tmp_path: Path, segmenter: Segmenter, state: Callable[[str], None]
) -> None:
    interrupted = _kill_builds(tmp_path, segmenter, kills=50, seed=2026)
    state(f"50 builds killed, {interrupted} of them among their files; every index of before loads and answers")
    assert interrupted >= 5  # the moments were hit at which something could have been lost
    build(0, segmenter).save(tmp_path, sources={})
    assert len(generations(tmp_path)) == 1


def test_an_interrupt_behind_the_manifest_keeps_the_new_index(
    tmp_path: Path, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Manifest.write

    def interrupted(manifest: Manifest, folder: Path) -> None:
        write(manifest, folder)
        raise KeyboardInterrupt

    build(1, segmenter).save(tmp_path, sources={})
    monkeypatch.setattr(Manifest, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(2, segmenter).save(tmp_path, sources={})
    monkeypatch.undo()
    assert versions(load(tmp_path)) == {"第2版"}


# No room, no right


@contextmanager
def _small_disk(size_kib: int) -> Iterator[Path]:
    """A file system of a few hundred KiB, or none where this process may not mount one."""
    place = Path(tempfile.mkdtemp())
    mounted = shutil.which("mount") is not None and hasattr(os, "geteuid") and os.geteuid() == 0
    try:
        if mounted:
            command = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(place)]
            mounted = subprocess.run(command, capture_output=True).returncode == 0
        if not mounted:
            pytest.skip("may not mount a file system")
        yield place
    finally:
        if mounted:
            gc.collect()  # an index that was loaded from there maps its files
            subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def test_a_full_disk_leaves_the_index_of_before(segmenter: Segmenter) -> None:
    first, second = build(1, segmenter), build(2, segmenter)
    with _small_disk(1024) as disk:
        folder = disk / "index"
        first.save(folder, sources={})
        refused = written = 0
        for free_kib in range(0, 280, 40):
            filler = disk / "filler"
            filler.write_bytes(b"x" * max(shutil.disk_usage(disk).free - 1024 * free_kib, 0))
            before = Manifest.read(folder)
            try:
                second.save(folder, sources={})
                written += 1
                assert versions(load(folder)) == {"第2版"}  # what is said to be written can be read
            except IndexWriteError as error:
                refused += 1
                assert "磁盘或配额已满" in str(error) or "无法写入索引" in str(error)
                assert Manifest.read(folder) == before
                before.verify_files(folder)
                assert generations(folder) == {before.generation}  # no trace of what was refused
            filler.unlink()
        assert versions(load(folder)) == {"第2版"}
    assert refused >= 3
    assert written >= 3


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_file_size_limit_leaves_the_index_of_before(tmp_path: Path, segmenter: Segmenter) -> None:
    before = build(1, segmenter).save(tmp_path, sources={})
    second = build(2, segmenter)
    for limit in (0, 100, 1000, 3000, 10_000):
        with _largest_file(limit), pytest.raises(IndexWriteError, match="原有索引未受影响"):
            second.save(tmp_path, sources={})
        assert Manifest.read(tmp_path) == before
        assert generations(tmp_path) == {before.generation}
    assert versions(load(tmp_path)) == {"第1版"}


def test_vectors_that_lack_their_last_byte_are_noticed(tmp_path: Path) -> None:
    store = FaissStore(8)
    store.add(np.eye(8, dtype=np.float32)[np.arange(1000) % 8])
    store.save(tmp_path)
    size = (tmp_path / "vectors.faiss").stat().st_size
    with _largest_file(size - 1), pytest.raises(OSError, match="too large"):
        store.save(tmp_path)


def test_a_read_only_folder_is_refused_and_can_be_read(segmenter: Segmenter) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        build(1, segmenter).save(folder, sources={})
        second = build(2, segmenter)
        folder.chmod(0o555)
        with unprivileged():
            with pytest.raises(IndexWriteError, match="文件夹不可写"):
                second.save(folder, sources={})
            assert versions(load(folder)) == {"第1版"}
            with pytest.raises(IndexWriteError, match="--index"):
                second.save(folder / "below", sources={})
    finally:
        shutil.rmtree(folder)


# Two builds at once


def test_a_second_build_waits_for_the_first(tmp_path: Path) -> None:
    with Helper("once", tmp_path, 1, 60) as first, Helper("once", tmp_path, 2, 60) as second:
        for helper in (first, second):
            assert helper.read_line() == "ready"
        for helper in (first, second):
            helper.tell()
        assert [first.read_line(), second.read_line()] == ["saved", "saved"]
    assert versions(load(tmp_path)) in ({"第1版"}, {"第2版"})
    assert len(generations(tmp_path)) == 1


def test_a_second_build_that_may_not_wait_fails_clearly(tmp_path: Path, segmenter: Segmenter) -> None:
    build(1, segmenter).save(tmp_path, sources={})
    waited: list[bool] = []
    with Helper("lock", tmp_path) as other:
        assert other.read_line() == "ready"
        with pytest.raises(IndexBusyError, match="另一个构建正在进行"):
            build(2, segmenter).save(tmp_path, sources={}, wait_s=0)
        with pytest.raises(IndexBusyError), build_lock(tmp_path, wait_s=0.1, waiting=lambda: waited.append(True)):
            pass
        assert waited == [True]
        lease(tmp_path).manifest.verify_files(tmp_path)  # reading needs no lock
        other.kill()
    build(2, segmenter).save(tmp_path, sources={}, wait_s=0)  # a killed build holds nothing
    assert versions(load(tmp_path)) == {"第2版"}


# Reading while another writes


def _read_while_rebuilding(folder: Path, segmenter: Segmenter, *, seconds: float) -> tuple[int, int]:
    """Rebuild while two processes load and ask; how many builds, and how many loads."""
    build(0, segmenter).save(folder, sources={})
    builds = loads = 0
    with Helper("ask", folder) as one, Helper("ask", folder) as other:
        for helper in (one, other):
            assert helper.read_line() == "ready"
        end = time.perf_counter() + seconds
        while builds < 4 or time.perf_counter() < end:
            builds += 1
            build(builds, segmenter).save(folder, sources={})
        for helper in (one, other):
            helper.tell()
            loaded, seen, _ = map(int, helper.read_line().split())
            assert seen > 1
            loads += loaded
    # What they read last stays until they let go of it; then one is left.
    build(0, segmenter).save(folder, sources={})
    assert len(generations(folder)) == 1
    return builds, loads


def test_an_index_is_read_whole_while_it_is_replaced(tmp_path: Path, segmenter: Segmenter) -> None:
    builds, loads = _read_while_rebuilding(tmp_path, segmenter, seconds=1)
    assert builds >= 4
    assert loads >= 2


@pytest.mark.long
def test_half_a_minute_of_reading_while_the_index_is_replaced(
    tmp_path: Path, segmenter: Segmenter, state: Callable[[str], None]
) -> None:
    builds, loads = _read_while_rebuilding(tmp_path, segmenter, seconds=30)
    state(f"{builds} builds while two processes loaded and asked {loads} times: no error, no mixed answer")
    assert min(builds, loads) >= 20


def test_a_generation_in_use_is_not_removed(tmp_path: Path, segmenter: Segmenter) -> None:
    first = build(1, segmenter).save(tmp_path, sources={})
    held = lease(tmp_path)
    second = build(2, segmenter).save(tmp_path, sources={})
    assert generations(tmp_path) == {first.generation, second.generation}
    del held
    third = build(3, segmenter).save(tmp_path, sources={})
    assert generations(tmp_path) == {third.generation}


def test_what_killed_builds_left_is_removed_and_nothing_else(tmp_path: Path, segmenter: Segmenter) -> None:
    build(1, segmenter).save(tmp_path, sources={})
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.txt").touch()
    (tmp_path / "generation-notes").mkdir()
    (tmp_path / f"generation-{'0' * 16}").symlink_to(outside)
    (tmp_path / f"generation-{'1' * 16}").mkdir()
    (tmp_path / f"{MANIFEST_NAME}.generation-{'1' * 16}").write_text("half", "utf-8")
    manifest = build(2, segmenter).save(tmp_path, sources={})
    assert {path.name for path in tmp_path.iterdir()} - {LOCK_NAME} == {
        MANIFEST_NAME,
        manifest.generation,
        "outside",
        "generation-notes",
        f"generation-{'0' * 16}",
    }
    assert (outside / "mine.txt").exists()


def test_an_index_knows_when_another_has_taken_its_place(tmp_path: Path, segmenter: Segmenter) -> None:
    made = build(1, segmenter)
    made.save(tmp_path, sources={})
    index = load(tmp_path)
    assistant = Assistant(index, Retriever(index), VersionReader(), threshold=0.0)
    assert (made.is_stale(), index.is_stale(), assistant.is_stale()) == (False, False, False)
    (tmp_path / MANIFEST_NAME).touch()
    assert not index.is_stale()  # the same index, its file touched
    made.save(tmp_path, sources={})
    assert index.is_stale()
    assert assistant.is_stale()
    assert versions(index) == {"第1版"}  # and goes on answering
    assert not load(tmp_path).is_stale()
    shutil.rmtree(tmp_path)
    with pytest.raises(IndexMissingError):
        index.is_stale()
    assert issubclass(IndexMissingError, SzqaError)
