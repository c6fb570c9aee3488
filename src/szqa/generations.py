"""The folder of an index: which of its generations counts, who may write, what may be removed.

One build at a time writes (``build_lock``); what it wrote is on the disk before the manifest names it; and a
generation that a process has loaded stays (``Lease``) until that process lets go of it or ends. This module knows
nothing of what the files of a generation hold.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from szqa.errors import IndexBusyError, IndexFormatError, IndexMissingError, IndexWriteError
from szqa.manifest import MANIFEST_NAME, Manifest

if sys.platform != "win32":
    import fcntl

__all__ = ["DEFAULT_WAIT_S", "LOCK_NAME", "Lease", "build_lock", "lease", "remove_unused", "write_generation"]

LOCK_NAME = ".build.lock"
# Seconds that a build waits for another one.
DEFAULT_WAIT_S = 600.0

_GENERATION = re.compile(rf"(?:{re.escape(MANIFEST_NAME)}\.)?generation-[0-9a-f]{{16}}")
# Each try but the last lost a race against a build that had just finished.
_TRIES = 100
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class Lease:
    """A generation in use: no build removes it while this object lives, or the process that holds it.

    It is a shared lock on the generation's folder, so nothing has to be written (an index on a read-only file system
    can be read) and a killed process leaves nothing behind.

    Attributes:
        manifest: the manifest that named the generation.
    """

    __slots__ = ("__weakref__", "_folder", "_seen", "manifest")

    def __init__(self, folder: Path, manifest: Manifest, *, seen: tuple[int, ...], descriptor: int | None) -> None:
        self.manifest = manifest
        self._folder = folder.absolute()
        self._seen = seen
        if descriptor is not None:
            weakref.finalize(self, os.close, descriptor)

    def is_stale(self) -> bool:
        """Whether the folder's manifest names another generation by now; a ``stat`` as long as it is the same file.

        Raises:
            IndexMissingError: there is no manifest any more.
            IndexFormatError: it is not one of this version's.
        """
        if _file_signature(self._folder) == self._seen:
            return False
        return Manifest.read(self._folder).generation != self.manifest.generation


def lease(folder: Path) -> Lease:
    """Take hold of the generation that counts.

    Raises:
        IndexMissingError: there is none.
        IndexFormatError: the manifest is not one of this version's, or its generation is not there.
    """
    for _ in range(_TRIES):
        seen = _file_signature(folder)
        manifest = Manifest.read(folder)
        descriptor = _lock_folder(folder / manifest.generation, exclusive=False)
        held = Lease(folder, manifest, seen=seen, descriptor=descriptor)
        # Read again: only what the manifest does not name is ever removed, and from here on not this one either.
        if Manifest.read(folder).generation == manifest.generation:
            return held
    raise IndexFormatError(
        f"{folder}: 索引更换得太频繁，请稍后重试 (the index is replaced faster than it can be read; try again later)"
    )


@contextmanager
def build_lock(folder: Path, *, wait_s: float, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Be the only one who builds into a folder; a thread that holds the lock may take it again.

    Args:
        folder: the index; made if missing.
        wait_s: seconds to wait for another build to end.
        waiting: called once where there is another build to wait for.

    Raises:
        IndexBusyError: the other build did not end in time.
        IndexWriteError: the folder cannot be written.
    """
    with _write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.resolve() / LOCK_NAME, is_singleton=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if waiting is not None and wait_s > 0:
                waiting()
            _acquire(lock, folder, wait_s)
    try:
        yield
    finally:
        lock.release()


def write_generation(folder: Path, fill: Callable[[Path], Manifest], *, wait_s: float) -> Manifest:
    """Write a new generation into a folder and make it the one that counts.

    A failure, even a power cut, leaves the one of before; what is not in use any more is removed.

    Args:
        folder: the index; made if missing.
        fill: writes the files into the folder it is given and returns the manifest that names them.
        wait_s: seconds to wait for another build to end.

    Raises:
        IndexBusyError: the other build did not end in time.
        IndexWriteError: it cannot be written: the disk is full, the folder read-only.
    """
    with build_lock(folder, wait_s=wait_s), _write_errors(folder):
        _remove_orphans(folder)  # makes room, too
        home = folder / f"generation-{secrets.token_hex(8)}"
        home.mkdir()
        try:
            manifest = fill(home)
            _sync(home)
            manifest.write(folder)
        except BaseException:
            # An interrupt may come when the manifest is in place already: then this generation is the index.
            if not _counts(folder, home.name):
                shutil.rmtree(home, ignore_errors=True)
                (folder / f"{MANIFEST_NAME}.{home.name}").unlink(missing_ok=True)
            raise
        _sync_one(folder)
        _remove_orphans(folder)
    return manifest


def remove_unused(folder: Path, *, wait_s: float) -> None:
    """Remove the generations that neither count nor are in use.

    Raises:
        IndexBusyError: a build did not end in time.
        IndexWriteError: the folder cannot be written.
    """
    with build_lock(folder, wait_s=wait_s), _write_errors(folder):
        _remove_orphans(folder)


def _acquire(lock: FileLock, folder: Path, wait_s: float) -> None:
    try:
        lock.acquire(timeout=wait_s)
    except Timeout as error:
        raise IndexBusyError(
            f"{folder}: 另一个构建正在进行，等待 {wait_s:g} 秒后放弃，请待其结束后重试，或用 --wait 延长等待 "
            f"(another build is running, gave up after {wait_s:g} s; try again when it has ended, or --wait longer)"
        ) from error


def _counts(folder: Path, generation: str) -> bool:
    try:
        return Manifest.read(folder).generation == generation
    except (IndexMissingError, IndexFormatError):
        return False


def _remove_orphans(folder: Path) -> None:
    """Remove what killed builds and earlier indexes left; only ever called by the one who builds."""
    try:
        kept = Manifest.read(folder).generation
    except (IndexMissingError, IndexFormatError):
        return  # perhaps of another version of szqa, which knows what counts
    for path in folder.iterdir():
        if not _GENERATION.fullmatch(path.name) or path.name == kept or path.is_symlink():
            continue
        if path.is_file():
            path.unlink()  # a manifest that was never put into place
            continue
        descriptor = _lock_folder(path, exclusive=True)
        if descriptor is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(descriptor)


def _lock_folder(path: Path, *, exclusive: bool) -> int | None:
    """Lock a folder; ``None`` where others hold it, it is not there, or the file system cannot lock folders."""
    if sys.platform == "win32":  # folders cannot be opened; files that are being read cannot be removed
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _file_signature(folder: Path) -> tuple[int, ...]:
    """What changes when the manifest is replaced; empty where there is none."""
    try:
        found = (folder / MANIFEST_NAME).stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _sync(home: Path) -> None:
    """Have every file below a folder, and the folders, written to the disk."""
    for path in (*home.rglob("*"), home):
        _sync_one(path)


def _sync_one(path: Path) -> None:
    if sys.platform == "win32" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _write_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            what = "磁盘或配额已满，请腾出空间后重新运行 szqa build (disk or quota full: free some space, run it again)"
        elif error.errno in _READ_ONLY:
            what = (
                "文件夹不可写，请检查权限或用 --index 另指一处 (not writable: check its mode, or name another: --index)"
            )
        else:
            what = "无法写入索引，请检查磁盘 (the index cannot be written, check the disk)"
        raise IndexWriteError(
            f"{folder}: {what}；原有索引未受影响 (the index of before is untouched): {error}"
        ) from error
