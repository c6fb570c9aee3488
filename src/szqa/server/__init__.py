"""szqa over HTTP: chat page, JSON API, source pages, widget.

>>> from szqa.server import ServerSettings, make_app
>>> app = make_app(assistant, ServerSettings())  # any ASGI server runs it
"""

from szqa.server.settings import Limits, ServerSettings
from szqa.server.web import make_app, serve

__all__ = ["Limits", "ServerSettings", "make_app", "serve"]
