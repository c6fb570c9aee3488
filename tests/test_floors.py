"""Imports go strictly downward; rooms of one floor do not know each other."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "szqa"

FLOORS = (
    {"datatypes", "errors", "strings", "cutter", "progress", "synonyms", "numerals"},
    {"text", "decoding", "layout", "bm25"},
    {"formats", "question", "series"},
    {"isolation"},
    {
        "corpus",
        "chunker",
        "embedder",
        "lexical",
        "store",
        "manifest",
        "candidates",
        "phrases",
        "neural",
        "feedback",
        "records",
    },
    {"alignment", "cues", "batches", "generations", "engine", "milvus_connection"},
    {"examiner", "writing", "milvus", "blocks"},
    {"index", "ranker"},
    {"building", "engine_index", "network"},
    {"engine_building", "ray_workers", "reader", "hub_reader"},
    {"retriever", "dialogue"},
    {"assistant"},
    {"goldset", "rendering"},
    {"evaluation", "training"},
    {"server", "report"},
    {"cli"},
)
HEAVY = {"torch", "sentence_transformers", "gradio", "fastapi", "transformers", "faiss", "jieba", "onnxruntime"}
HEAVY |= {"pymilvus", "grpc", "tenacity", "ray"}


def _floor(module: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if module in rooms)


def _room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def test_every_module_has_a_floor() -> None:
    rooms = {_room(path) for path in SOURCE.rglob("*.py")} - {"__init__"}
    assert rooms <= set().union(*FLOORS)


def test_imports_go_downward() -> None:
    wrong = []
    for path in SOURCE.rglob("*.py"):
        if (room := _room(path)) == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("szqa."):
                imported = str(node.module).split(".")[1]
                if imported != room and _floor(imported) >= _floor(room):
                    wrong.append(f"{path.relative_to(SOURCE)} imports {node.module}")
    assert wrong == []


def test_heavy_packages_are_imported_inside_functions() -> None:
    wrong = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            wrong += [f"{path.name}: {name}" for name in names if name.split(".")[0] in HEAVY]
    assert wrong == []
