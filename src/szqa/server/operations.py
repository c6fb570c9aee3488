"""What those who run the server ask it: is it alive, is it ready, how does it do; and to take up a rebuilt index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel
from starlette.responses import Response

from szqa.errors import SzqaError
from szqa.server.metrics import CONTENT_TYPE_LATEST, Metrics
from szqa.server.service import Service

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI

__all__ = ["HealthOut", "ReloadOut", "add_metrics", "add_operations"]


class HealthOut(BaseModel):
    """The server is there."""

    status: Literal["ok"] = "ok"


class ReloadOut(BaseModel):
    """The index that answers from now on."""

    documents: int
    passages: int
    created: str


def add_operations(router: APIRouter, service: Service, *, reloadable: bool) -> None:
    """Add health and reload to the API."""
    from fastapi import HTTPException

    @router.get("/health")
    async def health() -> HealthOut:
        """服务是否可用 (whether the server is there)."""
        return HealthOut()

    @router.get("/health/live")
    async def live() -> HealthOut:
        """进程是否还在响应 (whether the process responds; if not, restart it)."""
        return HealthOut()

    @router.get("/health/ready")
    async def ready() -> HealthOut:
        """是否可以接收问题 (whether questions may be sent here; not while it is full or shutting down)."""
        if not service.ready:
            raise HTTPException(503, "正在关闭或排队已满 (shutting down, or full)", headers={"Retry-After": "2"})
        return HealthOut()

    @router.post("/reload")
    def reload() -> ReloadOut:
        """换上重新建立的索引，需要口令 (take up the rebuilt index; needs the token)."""
        if not reloadable:
            raise HTTPException(403, "服务器启动时没有设 --api-token，不能换索引 (start with --api-token to reload)")
        try:
            index = service.reload().index
        except SzqaError as error:
            raise HTTPException(409, f"仍用原来的索引 (the old index stays): {error}") from error
        created = index.manifest.created if index.manifest else ""
        return ReloadOut(documents=len(index.documents), passages=len(index.passages), created=created)


def add_metrics(app: FastAPI, metrics: Metrics) -> None:
    """Add the page that Prometheus reads."""

    @app.get("/metrics", include_in_schema=False, response_model=None)
    def show() -> Response:
        return Response(metrics.page(), media_type=CONTENT_TYPE_LATEST)
