"""What is counted and timed, for Prometheus (text format 0.0.4); labels come from fixed lists, never from a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE_LATEST", "Metrics", "Stage"]

Stage = Literal["wait", "retrieve", "read", "suggest", "total"]

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The figures of one server, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "szqa_requests", "Requests answered", ["route", "method", "status"], registry=self._registry
        )
        self._request_seconds = Histogram(
            "szqa_request_seconds", "Time of a request", ["route"], buckets=_SECONDS, registry=self._registry
        )
        self._stages = Histogram(
            "szqa_stage_seconds", "Time of a stage of answering", ["stage"], buckets=_SECONDS, registry=self._registry
        )
        self._answers = Counter("szqa_answers", "Questions by what came of them", ["outcome"], registry=self._registry)
        self._reloads = Counter("szqa_reloads", "Reloads of the index", ["outcome"], registry=self._registry)

    def watch(
        self, *, waiting: Callable[[], int], index_age_s: Callable[[], float], passages: Callable[[], int]
    ) -> None:
        """Name where figures come from that are looked up when asked for."""
        for name, text, value in (
            ("szqa_questions_waiting", "Questions that wait or are being answered", waiting),
            ("szqa_index_age_seconds", "Time since the index was built", index_age_s),
            ("szqa_index_passages", "Passages of the index", passages),
        ):
            Gauge(name, text, registry=self._registry).set_function(value)

    def request(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that has been answered."""
        self._requests.labels(route, method, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def answer(self, outcome: Literal["answered", "abstained"], stages_s: Mapping[Stage, float]) -> None:
        """Count an answer, with the seconds of its stages."""
        self._answers.labels(outcome).inc()
        for stage, seconds in stages_s.items():
            self._stages.labels(stage).observe(seconds)

    def no_answer(self, outcome: Literal["refused", "abandoned", "failed"]) -> None:
        """Count a question that was not answered: too many waited, its asker had left, or an error."""
        self._answers.labels(outcome).inc()

    def reload(self, outcome: Literal["done", "failed"]) -> None:
        """Count a reload."""
        self._reloads.labels(outcome).inc()

    def page(self) -> bytes:
        """Everything as Prometheus reads it."""
        return generate_latest(self._registry)
