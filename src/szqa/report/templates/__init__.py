"""The report's templates, and Jinja2 set up to fill them in with everything escaped."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render"]


def render(template: str, values: Mapping[str, object]) -> Markup:
    """Fill in a template; every value but ``Markup`` is escaped."""
    return Markup(_environment().get_template(template).render(values))  # noqa: S704 - the template escapes


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from szqa.report.labels import OUTCOMES, label, number, percent, percent_with_interval, type_label

    environment = Environment(
        loader=PackageLoader("szqa.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "label": label,
        "number": number,
        "percent": percent,
        "type_label": type_label,
        "with_interval": percent_with_interval,
    }
    environment.globals["outcomes"] = OUTCOMES
    return environment
