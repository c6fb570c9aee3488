"""What people ask is written nowhere they do not know of: through every door, with every output of the process read."""

import os
import re
import subprocess
import sys

import httpx
import pytest

from conftest import ROOT

SERVER = """
import sys
sys.path.insert(0, "tests")
from serving import ClauseReader, make_assistant
from szqa.server import ServerSettings, serve
class Broken(ClauseReader):
    def read(self, question, hits):
        if "坏" in question:
            raise RuntimeError(f"cannot read {question}")
        return super().read(question, hits)
def report(line):
    print(line, flush=True)
serve(make_assistant(Broken()), ServerSettings(port=0, log_questions=sys.argv[1] == "yes"), report=report)
"""
MARK = "独一无二的提问字样"


def _ask_everywhere(url: str) -> None:
    """Ask through the API, the index page, the chat's queue; rightly, wrongly, and so that the reader breaks."""
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        for question in (f"{MARK}有多少家？", f"坏{MARK}", MARK * 200):
            client.post("/api/ask", json={"question": question})
            client.get("/index", params={"question": question})
            client.get(f"/source/{question[:50]}")
            client.get(f"/api/{question[:50]}")
        client.post("/api/ask", json={"question": 1, MARK: MARK})
        client.post("/api/feedback", json={"id": "1", "question": MARK, "helpful": True, "comment": MARK})
        events = client.get("/config").json()["dependencies"]
        for event in events:
            for question in (MARK, f"坏{MARK}"):
                session = f"s{event['id']}{len(question)}"
                body = {"data": [question] * len(event["inputs"]), "fn_index": event["id"], "session_hash": session}
                body["event_data"] = {"act": "ask", "question": question}
                if client.post("/gradio_api/queue/join", json=body).status_code == 200:
                    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
                        "".join(stream.iter_text())


@pytest.mark.parametrize("log_questions", ["no", "yes"])
def test_the_log_holds_no_question_unless_it_was_asked_for(log_questions: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER, log_questions],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    assert process.stdout is not None
    url = re.findall(r"http://[\d.:]+", process.stdout.readline())[0]
    _ask_everywhere(url)
    process.terminate()
    written = "".join(process.communicate(timeout=60))
    assert '"event": "answer"' in written
    assert '"error": "builtins.RuntimeError"' in written
    assert (MARK in written) == (log_questions == "yes"), written[-2000:]
