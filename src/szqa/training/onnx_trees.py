"""LightGBM's trees as ONNX, so that using them needs neither LightGBM nor what it links to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypedDict

import numpy as np

if TYPE_CHECKING:
    import lightgbm
    from onnx import ModelProto

__all__ = ["to_onnx"]


def to_onnx(booster: lightgbm.Booster) -> ModelProto:
    """A LightGBM model as an ONNX tree ensemble that gives its raw scores, (n, columns) float32 → (n, 1) float32."""
    from onnx import TensorProto, helper

    nodes = _Nodes()
    dumped = booster.dump_model()
    for number, tree in enumerate(dumped["tree_info"]):
        nodes.add_tree(number, tree["tree_structure"])
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["scores"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=nodes.tree,
        nodes_nodeids=nodes.node,
        nodes_featureids=nodes.feature,
        nodes_modes=nodes.mode,
        nodes_values=nodes.value,
        nodes_truenodeids=nodes.yes,
        nodes_falsenodeids=nodes.no,
        target_treeids=nodes.leaf_tree,
        target_nodeids=nodes.leaf_node,
        target_ids=[0] * len(nodes.leaf_tree),
        target_weights=nodes.weight,
    )
    columns = int(dumped["max_feature_idx"]) + 1
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", columns])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="szqa")


class _Tree(TypedDict, total=False):
    """A node of LightGBM's ``dump_model()``: a leaf has a value, every other node a split and two children."""

    leaf_value: float
    split_feature: int
    threshold: float
    decision_type: str
    left_child: _Tree
    right_child: _Tree


class _Nodes:
    """The flat arrays of an ONNX tree ensemble."""

    def __init__(self) -> None:
        self.tree: list[int] = []
        self.node: list[int] = []
        self.feature: list[int] = []
        self.mode: list[str] = []
        self.value: list[float] = []
        self.yes: list[int] = []
        self.no: list[int] = []
        self.leaf_tree: list[int] = []
        self.leaf_node: list[int] = []
        self.weight: list[float] = []

    def add_tree(self, tree: int, root: _Tree) -> None:
        """Append a tree of ``dump_model()``."""
        pending, free = [(0, root)], 1
        while pending:
            node, content = pending.pop()
            self.tree.append(tree)
            self.node.append(node)
            if "leaf_value" in content:
                self._append(0, "LEAF", 0.0, 0, 0)
                self.leaf_tree.append(tree)
                self.leaf_node.append(node)
                self.weight.append(float(content["leaf_value"]))
                continue
            if content["decision_type"] != "<=":
                raise ValueError(f"split {content['decision_type']!r} cannot be written, only <=")
            threshold = _float32_below(float(content["threshold"]))
            self._append(content["split_feature"], "BRANCH_LEQ", threshold, free, free + 1)
            pending += [(free, content["left_child"]), (free + 1, content["right_child"])]
            free += 2

    def _append(self, feature: int, mode: str, value: float, yes: int, no: int) -> None:
        self.feature.append(feature)
        self.mode.append(mode)
        self.value.append(value)
        self.yes.append(yes)
        self.no.append(no)


def _float32_below(value: float) -> float:
    """The largest float32 that is not above a double: the same split, for float32 features."""
    rounded = np.float32(value)
    return float(np.nextafter(rounded, np.float32(-math.inf)) if float(rounded) > value else rounded)
