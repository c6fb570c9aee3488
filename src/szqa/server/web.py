"""The web application: API, pages and widget on FastAPI, the Gradio chat at its root."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from szqa.assistant import Assistant
from szqa.errors import ConfigurationError
from szqa.feedback import FeedbackStore
from szqa.server.api import api_router
from szqa.server.chat import mount_chat, warm_up
from szqa.server.gate import Gate
from szqa.server.headers import Headed
from szqa.server.logs import configure_logs, log_event
from szqa.server.metrics import Metrics
from szqa.server.operations import add_metrics
from szqa.server.pages import STATIC, add_pages
from szqa.server.problems import add_problem_handlers, add_validation_handler
from szqa.server.records import Recorded
from szqa.server.service import Service
from szqa.server.settings import ServerSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["make_app", "serve"]

# An open chat page holds its connection for ever; Ctrl-C does not wait for it longer than this.
_LAST_WORDS_S: Final = 2


def make_app(assistant: Assistant, settings: ServerSettings, *, load: Callable[[], Assistant] | None = None) -> FastAPI:
    """Make the application.

    Args:
        assistant: answers the questions.
        settings: who may call it, and where feedback is kept.
        load: makes an assistant over the index as it is now on the disk, for ``POST /api/reload``.

    Raises:
        ConfigurationError: the feedback file cannot be opened.
    """
    metrics = Metrics()
    return _application(_service(assistant, settings, metrics, load), settings, metrics)


def _service(
    assistant: Assistant, settings: ServerSettings, metrics: Metrics, load: Callable[[], Assistant] | None
) -> Service:
    return Service(
        assistant,
        FeedbackStore(settings.feedback) if settings.feedback else None,
        max_waiting=settings.limits.max_waiting,
        metrics=metrics,
        load=load,
        log_questions=settings.log_questions,
    )


def _application(service: Service, settings: ServerSettings, metrics: Metrics) -> FastAPI:
    from fastapi import FastAPI
    from starlette.middleware.cors import CORSMiddleware

    # FastAPI's own /docs fetches its scripts from another host; pages.py serves one that does not.
    app = FastAPI(title="szqa", version=version("szqa"), docs_url=None, redoc_url=None)
    add_problem_handlers(app)
    app.include_router(api_router(service, reloadable=settings.api_token is not None))
    add_metrics(app, metrics)
    if settings.pages:
        add_pages(app, service)
    _add_widget(app, settings)
    # Inside of CORS, so that a page of another site can read why it is refused.
    app.add_middleware(Gate, limits=settings.limits, api_token=settings.api_token)
    app.add_middleware(Recorded, metrics=metrics)
    # Always there, even without an origin: Gradio adds a more generous one of its own where it finds none.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type"],
        expose_headers=["Retry-After", "X-Request-ID"],
        allow_credentials=False,
    )
    if settings.pages:
        mount_chat(app, service)
        for route in app.routes:
            mounted = getattr(route, "app", None)
            if isinstance(mounted, FastAPI):
                # Gradio's own repeats what was sent, and fails where that is not sound Unicode.
                add_validation_handler(mounted)
    app.add_middleware(Headed)
    return app


def _add_widget(app: FastAPI, settings: ServerSettings) -> None:
    from starlette.responses import FileResponse

    @app.get("/widget.js", include_in_schema=False, response_model=None)
    def widget() -> object:
        return FileResponse(STATIC / "widget.js", media_type="text/javascript")

    @app.get("/szqa/embed.js", include_in_schema=False, response_model=None)
    def embed_script() -> object:
        return FileResponse(STATIC / "embed.js", media_type="text/javascript")

    @app.get("/embed", include_in_schema=False, response_model=None)
    def embed() -> object:
        policy = (
            "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
            f"frame-ancestors {settings.frame_ancestors}"
        )
        return FileResponse(STATIC / "embed.html", media_type="text/html", headers={"Content-Security-Policy": policy})


def serve(
    assistant: Assistant,
    settings: ServerSettings,
    *,
    report: Callable[[str], None],
    load: Callable[[], Assistant] | None = None,
) -> None:
    """Serve until interrupted or terminated; questions that wait by then are still answered.

    Args:
        assistant: answers the questions.
        settings: where to listen, who may call, where feedback is kept.
        report: told the address, once connections are accepted.
        load: makes an assistant over the index as it is now on the disk, for ``POST /api/reload``.

    Raises:
        ConfigurationError: the address cannot be listened on, or the feedback file cannot be opened.
    """
    import uvicorn

    from szqa.server.connections import PatientServer, protocol_class

    # Listening first: a port that is taken is known before the models have warmed up.
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    shown = "127.0.0.1" if ip_address(host).is_unspecified else host
    configure_logs(requests=settings.log_requests, questions=settings.log_questions)
    metrics = Metrics()
    service = _service(assistant, settings, metrics, load)
    app = _application(service, settings, metrics)
    warm_up(service)
    report(f"请打开 (open) http://{f'[{shown}]' if ':' in shown else shown}:{port}  (Ctrl-C 结束 ends it)")
    log_event("started", {"version": version("szqa")})
    config = uvicorn.Config(
        app,
        http=protocol_class(settings.limits),
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.limits.trusted_proxies),
        forwarded_allow_ips=list(settings.limits.trusted_proxies),
        timeout_graceful_shutdown=_LAST_WORDS_S,
    )
    server = PatientServer(config, service)
    # That connections are cut short at the end is what was asked for, not an error.
    logging.getLogger("uvicorn.error").addFilter(lambda _: not server.should_exit)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def _listen(settings: ServerSettings) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"--host {settings.host}: 无法解析 (cannot be resolved): {error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"{settings.host}:{settings.port} 无法监听，请用 --port 换一个端口 "
            f"(cannot listen there; choose another with --port): {error}"
        ) from error
    return listener
