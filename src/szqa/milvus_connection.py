"""A connection to Milvus that fails in good time and in plain words.

It is made when it is first needed, tried again while the timeout lasts, and rests for a moment after a failure, so
that questions waiting behind each other do not all wait for a server that is gone. It knows nothing of collections.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar

from szqa.errors import ConfigurationError, IndexFormatError, MissingExtraError, StoreUnavailableError
from szqa.store import StoreOptions

if TYPE_CHECKING:
    from pymilvus import MilvusClient
    from pymilvus.exceptions import MilvusException

__all__ = ["MilvusConnection"]

_Result = TypeVar("_Result")

# For this long after a failure, questions are refused without asking the server.
_REST_S: Final = 2.0
# Time for a batch to be written or sealed, which nobody waits for in front of a page.
_WRITE_S: Final = 300.0


class MilvusConnection:
    """Calls a Milvus server, or milvus-lite where the URI is a file that ends in ``.db``.

    Args:
        options: where it is, and how long a call may take.

    Raises:
        ConfigurationError: there is no URI.
        MissingExtraError: pymilvus is not installed.
    """

    def __init__(self, options: StoreOptions) -> None:
        if not options.uri:
            raise ConfigurationError(
                "没有给出 Milvus 的地址，请用 --milvus-uri，例如 http://127.0.0.1:19530 或 ./milvus.db "
                "(no address of Milvus: give --milvus-uri)"
            )
        try:
            import pymilvus  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("milvus", "使用 Milvus 向量库 (the vector store Milvus)") from error
        # A file is named so that it is found from any folder.
        self.uri = str(Path(options.uri).absolute()) if options.uri.endswith(".db") else options.uri
        self._options = options
        self._client: MilvusClient | None = None
        self._failed: tuple[float, StoreUnavailableError] | None = None

    def ask(self, call: Callable[[MilvusClient, float], _Result]) -> _Result:
        """Call the server within the timeout.

        Args:
            call: is given the client and the seconds that are left.

        Raises:
            StoreUnavailableError: the server is down, slow, or refuses.
            IndexFormatError: it has no such collection.
        """
        return self._call(call, self._options.timeout_s)

    def open(self, call: Callable[[MilvusClient, float], _Result]) -> _Result:
        """Call the server for the first time: milvus-lite reads its files and jieba's dictionary then."""
        return self.write(call) if self.uri.endswith(".db") else self.ask(call)

    def write(self, call: Callable[[MilvusClient, float], _Result]) -> _Result:
        """Call the server for something that may take minutes; errors as for ``ask``."""
        return self._call(call, max(self._options.timeout_s, _WRITE_S))

    def _call(self, call: Callable[[MilvusClient, float], _Result], limit_s: float) -> _Result:
        from grpc import RpcError
        from pymilvus.exceptions import MilvusException

        if self._failed and monotonic() - self._failed[0] < _REST_S:
            raise StoreUnavailableError(str(self._failed[1]))
        started = monotonic()
        try:
            client = self._connected()
            return call(client, max(0.05, limit_s - (monotonic() - started)))
        except MilvusException as error:
            raise self._explained(error) from error
        except RpcError as error:
            raise self._unavailable(str(error)) from error

    def _connected(self) -> MilvusClient:
        """The client, made while the timeout lasts: a server that restarts is back after a moment."""
        if self._client is None:
            # Whatever goes wrong is raised in our words; pymilvus would print each try with a traceback.
            logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
            logging.getLogger("milvus_lite").setLevel(logging.CRITICAL)
            from pymilvus import MilvusClient
            from pymilvus.exceptions import ConnectionConfigException, MilvusException
            from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential

            deadline = monotonic() + self._options.timeout_s

            def connect() -> MilvusClient:
                left = max(0.05, deadline - monotonic())
                return MilvusClient(uri=self.uri, token=self._options.token, timeout=left)

            def passing(error: BaseException) -> bool:
                return isinstance(error, MilvusException) and not isinstance(error, ConnectionConfigException)

            tries = Retrying(
                retry=retry_if_exception(passing),
                wait=wait_exponential(multiplier=0.1, max=1),
                stop=stop_after_delay(max(0.0, self._options.timeout_s - 1)),
                reraise=True,
            )
            self._client = tries(connect)
        return self._client

    def _explained(self, error: MilvusException) -> Exception:
        from pymilvus.exceptions import ConnectionConfigException, ErrorCode

        if isinstance(error, ConnectionConfigException):
            return ConfigurationError(
                f"{self.uri}: 不能用作 Milvus 的地址：应为 http://主机:端口，或没有被其他进程打开的 .db 文件 "
                f"(cannot be used: must be http://host:port, or a .db file that no other process has open): "
                f"{error.message}"
            )
        if error.code == ErrorCode.COLLECTION_NOT_FOUND:
            return IndexFormatError(
                f"{self.uri}: Milvus 中没有这个索引的集合，请运行 szqa build "
                f"(Milvus has no such collection; run: szqa build): {error.message}"
            )
        return self._unavailable(error.message)

    def _unavailable(self, reason: str) -> StoreUnavailableError:
        """Forget the connection, and remember for a moment that there is none."""
        self._client = None
        error = StoreUnavailableError(
            f"{self.uri}: 向量库 Milvus 没有作答（限时 {self._options.timeout_s:g} 秒），请检查它是否在运行，稍后重试 "
            f"(no answer from Milvus within {self._options.timeout_s:g} s; check that it runs, then retry): {reason}"
        )
        self._failed = (monotonic(), error)
        return error
