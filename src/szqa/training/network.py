"""The reader's network: its sizes, its parts, its losses and its optimisers.

A RoFormer (Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding"; as in ``transformers``):
relative positions need fewer examples than absolute ones, and windows longer than those trained on can be read. It
knows nothing of files and stages.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from szqa.neural import INPUT_VERSION, TYPE_COUNT, Scorer, Vocabulary, type_factors
from szqa.training.masked_text import NO_TARGET, MaskedBatch
from szqa.training.reader_data import Batch

if TYPE_CHECKING:
    import torch
    from transformers import RoFormerForQuestionAnswering

__all__ = [
    "PRESETS",
    "Preset",
    "build_network",
    "load_weights",
    "masked_loss",
    "optimisers",
    "plain_network",
    "set_dropout",
    "span_loss",
    "torch_scorer",
    "trainable_weights",
]

_MASKED_HEAD = "masked_head"


@dataclass(frozen=True, slots=True)
class Preset:
    """Size of a network and how it is trained.

    Attributes:
        layers: transformer blocks.
        hidden: width.
        heads: attention heads.
        intermediate: width inside a block's feed-forward part.
        batch_chars: characters of a batch, about.
        learning_rate: highest, of both optimisers.
        decay: of the moving average of the weights that is evaluated and exported.
    """

    layers: int = 4
    hidden: int = 192
    heads: int = 3
    intermediate: int = 768
    batch_chars: int = 5000
    learning_rate: float = 1.5e-3
    decay: float = 0.998


PRESETS = {
    "small": Preset(),
    "large": Preset(layers=6, hidden=256, heads=4, intermediate=768, batch_chars=98_304),
}
"""``small`` (3.2M parameters) for two CPU cores, ``large`` (5.8M) for an accelerator."""


def build_network(preset: Preset, vocabulary: Vocabulary, *, masked: bool = False) -> RoFormerForQuestionAnswering:
    """An untrained network whose type ids share factors (see ``szqa.neural.type_factors``).

    Args:
        preset: its size.
        vocabulary: its characters.
        masked: with fused attention and a head that guesses hidden characters, for training.
    """
    from transformers import RoFormerConfig, RoFormerForQuestionAnswering

    config = RoFormerConfig(
        vocab_size=len(vocabulary),
        embedding_size=preset.hidden,
        hidden_size=preset.hidden,
        num_hidden_layers=preset.layers,
        num_attention_heads=preset.heads,
        intermediate_size=preset.intermediate,
        hidden_act="relu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=1024,
        type_vocab_size=TYPE_COUNT,
        pad_token_id=vocabulary.pad_id,
    )
    config.szqa_input_version = INPUT_VERSION
    network = RoFormerForQuestionAnswering(config)
    _embeddings(network).token_type_embeddings = _factored_types(preset.hidden)
    if masked:
        _fuse_attention(network)
        network.add_module(_MASKED_HEAD, _masked_head(preset.hidden))
    return network


def _masked_head(hidden: int) -> torch.nn.Module:
    """What stands between the last block and the characters' embeddings, as in BERT."""
    import torch

    return torch.nn.Sequential(torch.nn.Linear(hidden, hidden), torch.nn.ReLU(), torch.nn.LayerNorm(hidden))


def _fuse_attention(network: torch.nn.Module) -> None:
    """Let torch's fused attention do what the blocks spell out, several times as fast and with less memory."""
    import torch
    from transformers.models.roformer.modeling_roformer import RoFormerSelfAttention

    class FusedAttention(RoFormerSelfAttention):
        def forward(
            self,
            hidden_states: torch.Tensor,
            attention_mask: torch.Tensor | None = None,
            sinusoidal_pos: torch.Tensor | None = None,
            *_: object,
            **__: object,
        ) -> tuple[torch.Tensor, None]:
            shape = (*hidden_states.shape[:-1], self.num_attention_heads, self.attention_head_size)
            query, key, value = (
                layer(hidden_states).view(shape).transpose(1, 2) for layer in (self.query, self.key, self.value)
            )
            if sinusoidal_pos is not None:
                turn = self.apply_rotary_position_embeddings
                query, key = turn(sinusoidal_pos.to(query.dtype), query, key)  # type: ignore[no-untyped-call]
            if attention_mask is not None and attention_mask.is_floating_point():
                attention_mask = attention_mask.to(query.dtype)
            context = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask)
            return context.transpose(1, 2).flatten(2), None

    for module in network.modules():
        if isinstance(module, RoFormerSelfAttention):
            module.__class__ = FusedAttention


def set_dropout(network: torch.nn.Module, share: float) -> None:
    """Set the share of hidden units that training leaves out."""
    import torch

    for name, module in network.named_modules():
        # Attention is left whole: the fused kind knows no dropout.
        if isinstance(module, torch.nn.Dropout) and not name.endswith("self.dropout"):
            module.p = share


def trainable_weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights that are worth keeping: all but those of the head that guesses hidden characters."""
    weights = network.state_dict()
    return {name: weights[name].cpu().contiguous() for name in weights if not name.startswith(_MASKED_HEAD)}


def plain_network(network: RoFormerForQuestionAnswering) -> RoFormerForQuestionAnswering:
    """The same network with an ordinary table of type embeddings, as ``transformers`` saves and loads it."""
    import torch

    embeddings = _embeddings(network)
    with torch.no_grad():
        table = embeddings.get_submodule("token_type_embeddings")(torch.arange(TYPE_COUNT))
    plain = torch.nn.Embedding(*table.shape)
    plain.weight.data.copy_(table)
    embeddings.token_type_embeddings = plain
    return network


def _embeddings(network: torch.nn.Module) -> torch.nn.Module:
    return network.get_submodule("roformer.embeddings")


def _factored_types(hidden: int) -> torch.nn.Module:
    import torch

    class FactoredTypes(torch.nn.Module):
        """Embedding of type ids as sums of factor vectors, which rare combinations share with frequent ones."""

        factors: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            factors = torch.from_numpy(type_factors())
            self.register_buffer("factors", factors, persistent=False)
            self.weight = torch.nn.Parameter(torch.randn(int(factors.max()) + 1, hidden) * 0.02)

        def forward(self, type_ids: torch.Tensor) -> torch.Tensor:
            meaningful = (self.factors > 0).unsqueeze(-1)
            table = (self.weight[self.factors] * meaningful).sum(dim=1)
            return torch.nn.functional.embedding(type_ids, table)

    return FactoredTypes()


def load_weights(network: torch.nn.Module, path: Path) -> None:
    """Load weights that training wrote."""
    from safetensors.torch import load_file

    network.load_state_dict(load_file(path))


def _has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is quicker than float32; a CPU without AVX-512 only imitates it, many times slower."""
    import torch

    return device.type != "cpu" or "AVX512" in torch.backends.cpu.get_cpu_capability()


def masked_loss(network: torch.nn.Module, batch: MaskedBatch) -> torch.Tensor:
    """Cross-entropy of the hidden characters, a scalar, of a network built with ``masked``."""
    import torch

    device = next(network.parameters()).device
    ids, targets = (torch.from_numpy(array).to(device) for array in batch)
    with torch.autocast(device.type, torch.bfloat16, enabled=_has_bfloat16(device)):
        states = network.get_submodule("roformer")(input_ids=ids).last_hidden_state
        asked = targets != NO_TARGET
        characters = network.get_submodule("roformer.embeddings.word_embeddings").get_parameter("weight")
        logits = torch.nn.functional.linear(network.get_submodule(_MASKED_HEAD)(states[asked]), characters)
    return torch.nn.functional.cross_entropy(logits.float(), targets[asked])


def span_loss(network: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Cross-entropy of start and end over ``[CLS]`` ("not here") and the passage, mean of both, a scalar."""
    import torch

    start_logits, end_logits = _logits(network, batch)
    start_loss, end_loss = (
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(target).to(logits.device))
        for logits, target in ((start_logits, batch.starts), (end_logits, batch.ends))
    )
    return (start_loss + end_loss) / 2


def _logits(network: torch.nn.Module, batch: Batch, *, half: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """(b, n) start and end logits in float32, minus infinity where no answer may stand."""
    import torch

    device = next(network.parameters()).device
    ids, types, mask, allowed = (torch.from_numpy(array).to(device) for array in batch[:4])
    with torch.autocast(device.type, torch.bfloat16, enabled=half and _has_bfloat16(device)):
        output = network(input_ids=ids, token_type_ids=types, attention_mask=mask.long())
    return (
        output.start_logits.float().masked_fill(~allowed, -torch.inf),
        output.end_logits.float().masked_fill(~allowed, -torch.inf),
    )


def optimisers(network: torch.nn.Module) -> tuple[torch.optim.Optimizer, ...]:
    """Muon (Jordan 2024) for the matrices of the blocks, AdamW for embeddings, norms, biases and the output.

    Both expect their learning rate to be set before every step; Muon's updates are scaled to the size of AdamW's. Where
    bfloat16, which Muon computes in, is only imitated, AdamW is used for all: a step of Muon takes 13 seconds there.
    """
    import torch

    if not _has_bfloat16(next(network.parameters()).device):
        return (torch.optim.AdamW(network.parameters(), lr=1.0, betas=(0.9, 0.98), weight_decay=0.01),)

    matrices: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in network.named_parameters():
        (matrices if parameter.ndim == 2 and ".layer." in name else others).append(parameter)
    return (
        torch.optim.Muon(matrices, lr=1.0, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=1.0, betas=(0.9, 0.98), weight_decay=0.01),
    )


def torch_scorer(network: torch.nn.Module, *, half: bool = True) -> Scorer:
    """Score with a torch network; ``half`` in bfloat16 where autocast chooses so, else in float32."""

    def score(
        ids: NDArray[np.int64], types: NDArray[np.int64], mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        import torch

        nowhere = np.zeros(len(ids), np.int64)
        with torch.inference_mode():
            starts, ends = _logits(network, Batch(ids, types, mask, mask, nowhere, nowhere), half=half)
        return starts.cpu().numpy(), ends.cpu().numpy()

    return score
