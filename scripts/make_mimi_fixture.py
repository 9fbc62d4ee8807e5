"""Makes fixtures/hf_mimi_tiny and fixtures/mimi.safetensors with Transformers' MimiModel.

Run from the root of the repository: python scripts/make_mimi_fixture.py (torch, transformers, safetensors).
"""

import torch
from safetensors.torch import save_file
from transformers import MimiConfig, MimiModel

torch.manual_seed(24)
config = MimiConfig(
    hidden_size=24, num_filters=2, num_hidden_layers=2, intermediate_size=48, num_attention_heads=4,
    num_key_value_heads=4, sliding_window=40, num_quantizers=3, codebook_size=8, codebook_dim=12,
    vector_quantization_hidden_dimension=12, upsample_groups=24, frame_rate=12.5,
)
model = MimiModel(config).eval()
with torch.no_grad():
    for name, parameter in model.named_parameters():
        # Norms, biases and layer scales start at constants, which would hide an omission.
        if name.endswith("layernorm.weight") or name.endswith(".scale"):
            parameter.uniform_(0.5, 1.5)
        elif name.endswith("bias"):
            parameter.uniform_(-0.3, 0.3)
        elif "proj" in name or ".mlp." in name:
            parameter.normal_(0, parameter.shape[1] ** -0.5)
model.save_pretrained("fixtures/hf_mimi_tiny")

# One second of a chirp with noise, rounded to float16. A window is that second four times at other gains.
time = torch.arange(24_000) / 24_000
clip = 0.4 * torch.sin(6.2832 * (80 * time + 900 * time**2)) * torch.sin(3.1416 * time) + 0.02 * torch.randn(24_000)
clip = clip.half()
second = clip.float()
cases = {
    "short": second[None, :2345],
    "second": second[None],
    "window": torch.cat([second * gain for gain in (1.0, -0.5, 0.0, 0.25)])[None],
    "pair": torch.stack([second[:9000], -second[9000:18_000]]),
}
tensors = {"clip": clip}


def keep(case, stage, value):
    tensors[f"{case}.{stage}"] = value.transpose(1, 2).contiguous().float()


encoder, quantizer = model.encoder, model.quantizer
with torch.no_grad():
    for case, waves in cases.items():
        x = waves[:, None]
        for index, layer in enumerate(encoder.encoder_seanet.layers):
            x = layer(x)
            if case == "short" and index % 3 == 0 and index <= 12:
                keep(case, f"stage{index // 3}", x)  # 0: the first convolution; then after each strided one
        keep(case, "convolved", x)
        x = encoder.encoder_transformer(x.transpose(1, 2)).last_hidden_state.transpose(1, 2)
        keep(case, "transformed", x)
        z = encoder.downsample(x)
        assert torch.equal(z, encoder(waves[:, None]).latents)
        keep(case, "z", z)
        features = sum(
            part.output_proj(part.input_proj(z))
            for part in (quantizer.semantic_residual_vector_quantizer, quantizer.acoustic_residual_vector_quantizer)
        )
        keep(case, "features", features.repeat_interleave(2, dim=2))
save_file(tensors, "fixtures/mimi.safetensors")
