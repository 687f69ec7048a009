"""Hugging Face's names of a Vision Transformer as torchvision's, which fastdl has.

Two layouts are public: that of the files on the hub (vit.encoder.layer.{i}.attention.attention.query, ...) and that of
transformers 5 in memory (vit.layers.{i}.attention.q_proj, ..., mlp.fc1).
"""

import re

import numpy as np

from fastdl.autograd import Tensor

_WHOLE = {
    "embeddings.cls_token": "class_token",
    "embeddings.position_embeddings": "encoder.pos_embedding",
    "embeddings.patch_embeddings.projection.weight": "conv_proj.weight",
    "embeddings.patch_embeddings.projection.bias": "conv_proj.bias",
    "layernorm.weight": "encoder.ln.weight",
    "layernorm.bias": "encoder.ln.bias",
    "classifier.weight": "heads.head.weight",
    "classifier.bias": "heads.head.bias",
}
_PARTS = {
    "attention.output.dense": "self_attention.out_proj",
    "attention.o_proj": "self_attention.out_proj",
    "intermediate.dense": "mlp.0",
    "mlp.fc1": "mlp.0",
    "output.dense": "mlp.3",
    "mlp.fc2": "mlp.3",
    "layernorm_before": "ln_1",
    "layernorm_after": "ln_2",
}
_LAYER = re.compile(r"^(?:encoder\.layer|layers)\.(\d+)\.(.+)\.(weight|bias)$")
_QKV = re.compile(r"^attention\.(?:attention\.(query|key|value)|([qkv])_proj)$")


def from_hugging_face(state: dict) -> dict:
    """The state with torchvision's keys; one that has them already is returned as a copy.

    query, key and value of a layer become one in_proj; a pooler is left out.
    """
    if "class_token" in state:
        return dict(state)
    result, joined = {}, {}
    for key, value in state.items():
        name = key.removeprefix("vit.")
        match = _LAYER.match(name)
        if match is None:
            if not name.startswith("pooler."):
                result[_WHOLE.get(name, key)] = value
            continue
        layer, part, kind = match.groups()
        prefix = f"encoder.layers.encoder_layer_{layer}."
        which = _QKV.match(part)
        if which:
            place = "qkv".index((which[1] or which[2])[0])
            joined.setdefault(f"{prefix}self_attention.in_proj_{kind}", {})[place] = value
        elif part in _PARTS:
            result[f"{prefix}{_PARTS[part]}.{kind}"] = value
        else:
            result[key] = value
    for key, parts in joined.items():
        if len(parts) == 3:  # else the key stays missing, and load_state_dict says so
            arrays = (parts[i].array if isinstance(parts[i], Tensor) else np.asarray(parts[i]) for i in range(3))
            result[key] = np.concatenate(list(arrays))
    return result
