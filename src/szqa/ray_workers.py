"""Making batches with Ray Data: on the cores of this machine, or of every machine of a cluster.

Each group of files becomes a block in a folder that all machines share, as the corpus is; a build that was stopped goes
on with the blocks that are there. It knows nothing of what becomes of batches.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from szqa.batches import Batch
from szqa.blocks import Blocks, block_key
from szqa.building import Maker
from szqa.corpus import source_name
from szqa.errors import ConfigurationError, MissingExtraError
from szqa.isolation import Isolation
from szqa.manifest import hash_file, recipe

__all__ = ["RayWorkers"]


class _Task(TypedDict):
    """A group of files, as Ray hands it on."""

    number: int
    key: str
    paths: list[str]


class _Outcome(TypedDict):
    """What became of a group: a block under its key, unless there were problems."""

    number: int
    problems: list[str]


@dataclass(frozen=True, slots=True)
class RayWorkers:
    """Has a maker work on files in Ray's processes; use it as ``Workers``.

    Attributes:
        folder: for the blocks; shared between the machines.
        processes: how many work at once.
        address: of a Ray cluster; ``None`` for one of this machine alone, made and ended here.
    """

    folder: Path
    processes: int
    address: str | None = None

    def __call__(self, maker: Maker, groups: Sequence[Sequence[Path]]) -> Iterator[tuple[Batch, list[str]]]:
        """What the maker makes of each group of files, in order.

        Raises:
            MissingExtraError: Ray is not installed.
            ConfigurationError: Ray cannot be reached, or a process died.
        """
        # Ray's processes have working folders of their own.
        blocks = Blocks(self.folder.absolute())
        maker = replace(maker, corpus=maker.corpus.absolute())
        keys = [_key(maker, [path.absolute() for path in paths]) for paths in groups]
        tasks: list[_Task] = [
            {"number": number, "key": key, "paths": [str(path.absolute()) for path in paths]}
            for number, (key, paths) in enumerate(zip(keys, groups, strict=True))
            if key not in blocks
        ]
        outcomes = _run(self, maker, blocks, tasks) if tasks else iter(())
        problems: dict[int, list[str]] = {}
        for number, key in enumerate(keys):
            while key not in blocks and number not in problems:
                outcome = next(outcomes)
                if outcome["problems"]:
                    problems[outcome["number"]] = outcome["problems"]
            if number in problems:
                yield maker.make(())[0], problems[number]
            else:
                yield blocks.read(key), []

    def clear(self) -> None:
        """Delete the blocks, once the index is in place."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _key(maker: Maker, paths: Sequence[Path]) -> str:
    """Everything that the batch of some files depends on."""
    files = [part for path in paths for part in (source_name(path, maker.corpus), hash_file(path))]
    embedder = f"{maker.embedder.fingerprint} {maker.with_terms}"
    return block_key([recipe(), embedder, maker.segmenter.fingerprint, str(maker.settings.max_chars), *files])


class _Making:
    """What runs in each of Ray's processes."""

    def __init__(self, maker: Maker, blocks: Blocks) -> None:
        self._maker, self._blocks = maker, blocks
        self._isolation = Isolation(maker.limits)
        maker.segmenter.read_whole_dictionary()

    def __call__(self, task: _Task) -> _Outcome:
        batch, problems = self._maker.make([Path(path) for path in task["paths"]], self._isolation)
        if not problems:
            self._blocks.write(task["key"], batch)
        return {"number": task["number"], "problems": problems}


def _run(workers: RayWorkers, maker: Maker, blocks: Blocks, tasks: list[_Task]) -> Iterator[_Outcome]:
    """Have Ray make the blocks; each outcome as it comes."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
    try:
        import ray
        from ray.exceptions import RayError
    except ImportError as error:
        raise MissingExtraError("ray", "用 Ray 建立索引 (building with Ray)") from error
    ours = not ray.is_initialized()
    try:
        if ours:
            cores = None if workers.address else workers.processes
            ray.init(workers.address or "local", num_cpus=cores, include_dashboard=False, log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        made = ray.data.from_items(tasks, override_num_blocks=len(tasks)).map(
            _Making,  # type: ignore[arg-type, unused-ignore]  # Ray takes classes, too
            fn_constructor_args=(maker, blocks),
            compute=ray.data.ActorPoolStrategy(size=min(workers.processes, len(tasks))),
            num_cpus=1,
        )
        for row in made.iter_rows():
            yield {"number": int(row["number"]), "problems": [str(problem) for problem in row["problems"]]}
    except (RayError, ConnectionError) as error:
        raise ConfigurationError(
            f"Ray 没有完成：{error}；已完成的部分保存在 {blocks.folder}，再次运行会从那里继续 "
            "(Ray did not finish; run again to go on with what is done)"
        ) from error
    finally:
        if ours:
            ray.shutdown()
