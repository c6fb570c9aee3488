"""The chat page: `python app.py`. The same server as `szqa serve`, with the fewest flags."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# Before Gradio or a hub client is imported: nothing is fetched, nothing is reported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"

from szqa import Assistant, SzqaError
from szqa.server import ServerSettings, serve


def main() -> None:
    """Parse the flags, load the index and serve the page."""
    parser = argparse.ArgumentParser(description="szqa 的聊天页面 (chat page)")
    parser.add_argument("--index", type=Path, default=Path("index"), help="索引文件夹 (index folder)")
    parser.add_argument("--host", default="127.0.0.1", help="监听地址 (address to listen on)")
    parser.add_argument("--port", type=int, default=7860, help="端口 (port)")
    parser.add_argument(
        "--feedback", type=Path, default=Path("runs/feedback.sqlite3"), help="反馈数据库 (SQLite file for feedback)"
    )
    flags = parser.parse_args()
    settings = ServerSettings(host=flags.host, port=flags.port, feedback=flags.feedback, log_requests=False)
    try:
        serve(Assistant.load(flags.index), settings, report=_print)
    except SzqaError as error:
        sys.exit(f"错误: {error}")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
