"""The training step's forward pass: the model's own weights, little work per token.

The same function as `LlamaForCausalLM` with these weights (a test holds them equal), for data of
one form: D scenes, each a prefix of P tokens (system message, passages) that B branches of T tokens
go on from (a question and its answer), side by side and unseen by each other. So a passage is read
once for all its questions, and the attention of a branch is [T, P + T] instead of a whole row. All
products are bf16, the residual stream is float32.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from transformers import LlamaForCausalLM

from examples.demo_world.kernels import HALF, gate, norm, softmax, turn


class Shape(NamedTuple):
    """Sizes of a batch: scenes, prefix length, branches per scene, branch length."""

    scenes: int
    prefix: int
    branches: int
    length: int


class Lean:
    """Hidden states [tokens, width], float32, before the output matrix; prefixes come first."""

    def __init__(self, model: LlamaForCausalLM) -> None:
        self.model = model
        config = model.config
        self.heads, self.shared = config.num_attention_heads, config.num_key_value_heads
        self.each, self.head = self.heads // self.shared, config.head_dim
        self.eps = config.rms_norm_eps
        theta = float(config.rope_parameters["rope_theta"])
        self.frequency = theta ** -(torch.arange(0, self.head, 2).float() / self.head)

    def __call__(
        self,
        shape: Shape,
        ids: torch.Tensor,
        position: torch.Tensor,
        prefix_mask: torch.Tensor,
        branch_mask: torch.Tensor,
        taps: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """ids and position [tokens]; masks are added to scores, bf16: prefix_mask
        [D, 1, 1, P, P], branch_mask [D, 1, 1, 1, T, P + T]. `taps` gets the stream behind each
        layer."""
        angle = position[:, None, None].float() * self.frequency.to(position.device)
        cos, sin = angle.cos(), angle.sin()
        x = F.embedding(ids, self.model.model.embed_tokens.weight)
        for layer in self.model.model.layers:
            own, mlp = layer.self_attn, layer.mlp
            mix = torch.cat(
                [own.q_proj.weight * self.head**-0.5, own.k_proj.weight, own.v_proj.weight]
            )
            inner = F.linear(norm(x, layer.input_layernorm.weight, self.eps), mix.to(HALF))
            inner = self.attend(shape, inner, cos, sin, prefix_mask, branch_mask)
            x = x + F.linear(inner, own.o_proj.weight.to(HALF)).float()
            wide = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]).to(HALF)
            inner = norm(x, layer.post_attention_layernorm.weight, self.eps)
            inner = gate(F.linear(inner, wide))
            x = x + F.linear(inner, mlp.down_proj.weight.to(HALF)).float()
            if taps is not None:
                taps.append(x)
        return x

    def attend(
        self,
        shape: Shape,
        mixed: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        prefix_mask: torch.Tensor,
        branch_mask: torch.Tensor,
    ) -> torch.Tensor:
        """Attention of prefixes over themselves and of branches over prefix and themselves."""
        scenes, prefix, branches, length = shape
        heads, shared, each, head = self.heads, self.shared, self.each, self.head
        mixed = mixed.view(-1, heads + 2 * shared, head)
        turned, value = torch.split(mixed, [heads + shared, shared], 1)
        query, key = torch.split(turn(turned, cos, sin), [heads, shared], 1)
        cut = [scenes * prefix, scenes * branches * length]
        (query, own_query), (key, own_key) = torch.split(query, cut), torch.split(key, cut)
        value, own_value = torch.split(value, cut)
        # prefixes: [D, shared, each, P, head] against [D, shared, P, head]
        query = query.reshape(scenes, prefix, shared, each, head).permute(0, 2, 3, 1, 4)
        query = query.reshape(scenes * shared, each * prefix, head)
        key = key.reshape(scenes, prefix, shared, head).permute(0, 2, 3, 1)
        key = key.reshape(scenes * shared, head, prefix)
        value = value.reshape(scenes, prefix, shared, head).transpose(1, 2)
        value = value.reshape(scenes * shared, prefix, head)
        scores = torch.bmm(query, key).view(scenes, shared, each, prefix, prefix)
        share = softmax(scores, prefix_mask)
        out = torch.bmm(share.view(scenes * shared, each * prefix, prefix), value)
        out = out.view(scenes, shared, each, prefix, head).permute(0, 3, 1, 2, 4)
        first = out.reshape(scenes * prefix, heads * head)
        # branches: the prefix part for all branches of a scene at once, their own part one by one
        query = own_query.reshape(scenes, branches, length, shared, each, head)
        query = query.permute(0, 3, 1, 4, 2, 5)
        query = query.reshape(scenes * shared, branches * each * length, head)
        each_own = (scenes * shared * branches, each * length)
        own_key = own_key.reshape(scenes, branches, length, shared, head)
        own_key = own_key.permute(0, 3, 1, 4, 2).reshape(-1, head, length)
        own_value = own_value.reshape(scenes, branches, length, shared, head)
        own_value = own_value.permute(0, 3, 1, 2, 4).reshape(-1, length, head)
        far = torch.bmm(query, key).view(*each_own, prefix)
        scores = torch.cat([far, torch.bmm(query.view(*each_own, head), own_key)], -1)
        scores = scores.view(scenes, shared, branches, each, length, prefix + length)
        share = softmax(scores, branch_mask).view(*each_own, prefix + length)
        far, near = torch.split(share, [prefix, length], -1)
        out = torch.bmm(far.reshape(scenes * shared, -1, prefix), value).view(*each_own, head)
        out = out + torch.bmm(near, own_value)
        out = out.view(scenes, shared, branches, each, length, head).permute(0, 2, 4, 1, 3, 5)
        return torch.cat([first, out.reshape(-1, heads * head)])
