"""Errors of the API as problem details (RFC 9457), in Chinese with the English beside it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from szqa.errors import QuestionError, StoreUnavailableError, SzqaError
from szqa.server.service import AbandonedError, BusyError

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from starlette.responses import Response

__all__ = ["RETRY_AFTER_S", "add_problem_handlers", "add_validation_handler", "problem"]

RETRY_AFTER_S: Final = "2"
"""Seconds after which a client that found the server busy may come again."""

_TITLES: Final = {
    401: "需要口令 (unauthorized)",
    403: "不允许 (forbidden)",
    404: "没有找到 (not found)",
    405: "不支持这种请求方法 (method not allowed)",
    409: "没有做成 (conflict)",
    413: "请求太大 (request too large)",
    422: "请求内容不对 (invalid request)",
    429: "请求太频繁 (too many requests)",
    499: "提问者已离开 (client closed request)",
    500: "服务器出错 (internal error)",
    503: "暂时不能回答 (cannot answer now)",
}
# Pydantic's kinds of errors that a caller of this API can make.
_FAULTS: Final = {
    "missing": "缺少 (missing)",
    "string_too_short": "是空的 (empty)",
    "string_too_long": "太长 (too long)",
    "too_long": "太多 (too many)",
    "string_unicode": "不是合法的 Unicode 文本 (not valid Unicode)",
    "string_type": "应为字符串 (must be a string)",
    "bool_parsing": "应为 true 或 false (must be true or false)",
    "bool_type": "应为 true 或 false (must be true or false)",
    "list_type": "应为列表 (must be a list)",
    "json_invalid": "不是合法的 JSON (not valid JSON)",
    "model_attributes_type": "应为以 application/json 发送的 JSON 对象 (must be a JSON object, sent as JSON)",
    "extra_forbidden": "没有这个字段 (unknown field)",
}


def problem(status: int, detail: str, *, headers: dict[str, str] | None = None) -> Response:
    """A response in the form of RFC 9457; ``type`` is about:blank, so the title names the status."""
    from starlette.responses import JSONResponse

    title = _TITLES.get(status) or HTTPStatus(status).phrase
    # What is repeated from a request may hold half of a surrogate pair, which has no place in UTF-8.
    sound = detail.encode("utf-8", "replace").decode("utf-8")
    content = {"type": "about:blank", "title": title, "status": status, "detail": sound}
    return JSONResponse(content, status, headers, media_type="application/problem+json")


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error under /api as a problem, and elsewhere as a plain page."""
    from starlette.exceptions import HTTPException

    async def refused(_request: Request, error: Exception) -> Response:
        if isinstance(error, BusyError | StoreUnavailableError):
            return problem(503, str(error), headers={"Retry-After": RETRY_AFTER_S})
        if isinstance(error, AbandonedError):
            return problem(499, str(error))
        return problem(422 if isinstance(error, QuestionError) else 500, str(error))

    async def http(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        detail = str(getattr(error, "detail", "")) or _TITLES.get(status, "")
        if status in (404, 405) and detail == HTTPStatus(status).phrase:
            detail = f"{request.method} {request.url.path}，接口说明见 /docs (see /docs)"
        return problem(status, detail, headers=headers)

    add_validation_handler(app)
    app.add_exception_handler(SzqaError, refused)
    app.add_exception_handler(HTTPException, http)


def add_validation_handler(app: FastAPI) -> None:
    """Answer a request that is not what its route takes as a problem that says where, and repeats nothing of it."""
    from fastapi.exceptions import RequestValidationError

    async def invalid(_request: Request, error: Exception) -> Response:
        errors = error.errors() if isinstance(error, RequestValidationError) else []
        faults = [f"{_place(fault['loc'])}: {_FAULTS.get(fault['type'], fault['msg'])}" for fault in errors]
        return problem(422, "；".join(faults))

    app.add_exception_handler(RequestValidationError, invalid)


def _place(location: tuple[int | str, ...]) -> str:
    """body.history.0.question without the "body"; what is wrong as a whole is called so."""
    names = [str(part) for part in location if part != "body" and not (isinstance(part, int) and len(location) == 2)]
    return ".".join(names) or "请求 (request)"
