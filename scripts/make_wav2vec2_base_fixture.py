"""Makes fixtures/hf_wav2vec2_base_tiny and fixtures/wav2vec2_base.safetensors with Transformers.

The reference for the base family of wav2vec2 (group norm in the first convolution only, norms after each part),
which the released model does not use. Needs torch, transformers and safetensors; run from the repository's root.
"""

import math

import torch
from safetensors.torch import save_file
from transformers import Wav2Vec2Config, Wav2Vec2Model

torch.manual_seed(20)
config = Wav2Vec2Config(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    conv_dim=[16] * 7,
    conv_bias=False,
    feat_extract_norm="group",
    do_stable_layer_norm=False,
    num_conv_pos_embeddings=15,
    num_conv_pos_embedding_groups=4,
)
model = Wav2Vec2Model(config).eval()
with torch.no_grad():
    for parameter in model.parameters():
        # Away from the initial ones and zeros, so that every tensor matters.
        parameter.add_(0.1 * torch.randn_like(parameter))
    time = torch.arange(6400) / 16000
    audio = (0.3 * torch.sin(2 * math.pi * 170 * time) + 0.05 * torch.randn(6400)).unsqueeze(0)
    normalized = (audio - audio.mean(1, keepdim=True)) / (audio.std(1, keepdim=True) + 1e-6)
    hidden = model(normalized).last_hidden_state
    features = model.feature_extractor(normalized).transpose(1, 2)
model.save_pretrained("fixtures/hf_wav2vec2_base_tiny")
save_file(
    {"audio": audio.contiguous(), "conv_features": features.contiguous(), "hidden": hidden.contiguous()},
    "fixtures/wav2vec2_base.safetensors",
)
print(config.transformers_version, torch.__version__, features.shape, hidden.shape)
