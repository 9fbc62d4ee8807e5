"""What UniLS inference costs in PyTorch: a stopwatch for comparisons, not part of the product.

Our own implementation of the dual-track UniLS model (arXiv 2512.09327), to time both programs on one machine in a row:

    python scripts/pytorch_reference.py --check
    python scripts/pytorch_reference.py --time --seconds 20 --threads 1,2 --repeat 3 --json times.json

`--check` reproduces, with the tiny weights under `fixtures/`, the greedy bits (exactly) and the motion that the
released code gave; exit status 1 if it does not. `--time` times a conversation of random audio on the CPU: full-size
configuration, random weights, float32. The work is arranged as in the release:
  * one call for each participant, and each call encodes both tracks anew, one 4 s window of one track at a time;
  * conditional and unconditional branch as a batch of two;
  * each of the five scales runs the whole prefix (style, previous window, all scales so far) under a mask:
    no keys or values are kept from one scale to the next;
  * each window just generated goes through the codec's encoder to become the next window's previous motion.
Where that leaves room the cheaper way is taken, so that the comparison does not flatter us: every attention is
`scaled_dot_product_attention` (also in Transformers' wav2vec2), rotary tables and masks are kept, the style clip is
encoded once per call, `torch.inference_mode` is on, and the final Savitzky-Golay smoothing is left out.

Shapes: B batch, T frames of a window, L tokens of all scales, C bits of a token, S audio features, A their width.
"""

import argparse
import itertools
import json
import os
import time
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file
from torch import nn

SAMPLE_RATE, SAMPLES_PER_FRAME, MOTION_DIM = 16_000, 640, 108  # 25 frames/s
FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
# The codec has the width, heads and (for each of its halves) depth of the generator.
PAPER = dict(schedule=(1, 5, 25, 50, 100), code_dim=32, audio_dim=1024, width=512, heads=8, depth=8)
TINY = dict(schedule=(1, 2, 5, 10, 20), code_dim=8, audio_dim=32, width=32, heads=4, depth=2)
XLS_R_300M = dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096,
                  conv_bias=True, feat_extract_norm="layer", do_stable_layer_norm=True)


@lru_cache
def rotary_table(positions, head_dim):
    """Complex factors (tokens, head_dim / 2) for a tuple of integer positions; base 10 000."""
    theta = 10_000.0 ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angles = torch.tensor(positions, dtype=torch.float32)[:, None] * theta
    return torch.polar(torch.ones_like(angles), angles)


@lru_cache
def layout(schedule, scales, features):
    """Of [style T | previous T | first scales]: rotary positions, those of the audio, mask (query, key; true = see)."""
    frames = schedule[-1]
    positions, level = list(range(2 * frames)), [0] * (2 * frames)
    for k, tokens in enumerate(schedule[:scales]):
        centres = torch.linspace(0, frames - 1, 2 * tokens + 1)[1::2]
        positions += (centres.round().long() + 2 * frames).tolist()  # ties go to the even number
        level += [k + 1] * tokens
    audio_at = torch.linspace(0, frames, features + 1)[:-1].long() + 2 * frames  # truncated
    level = torch.tensor(level)
    return tuple(positions), tuple(audio_at.tolist()), level[:, None] >= level[None, :]


def attend(q, k, v, heads, q_at, k_at, mask=None):
    """Attention over (B, tokens, width); rotary embedding over interleaved pairs of q and k."""
    def rotate(x, positions):
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
        return torch.view_as_real(pairs * rotary_table(positions, x.shape[-1])).flatten(-2)
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(rotate(q, q_at), rotate(k, k_at), v, mask).transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    def __init__(self, width, heads, eps):
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(width, eps=eps)
        self.to_qkv, self.to_out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)

    def forward(self, x, positions, mask=None):
        return self.to_out(attend(*self.to_qkv(self.norm(x)).chunk(3, -1), self.heads, positions, positions, mask))


def codec_half(name, last, inputs, outputs, c):
    """Encoder or decoder of the codec, its parts named as in the released checkpoints."""
    width, inner, blocks = c["width"], int(1.5 * c["width"]), nn.ModuleList()
    for _ in range(c["depth"]):
        blocks.append(SelfAttention(width, c["heads"], 1e-5))
        blocks.append(nn.Sequential(nn.Linear(width, inner), nn.GELU("tanh"), nn.Linear(inner, width)))
    first = nn.Sequential(nn.Linear(inputs, width), nn.LeakyReLU(0.2))
    return nn.ModuleDict({"inp_mapping": first, name + "_transformer": blocks, last: nn.Linear(width, outputs)})


def run_half(half, x):
    first, blocks, last = half.values()
    x, positions = first(x), tuple(range(x.shape[1]))
    for i, block in enumerate(blocks):  # even index = attention, odd index = feed-forward
        x = x + (block(x) if i % 2 else block(x, positions))
    return last(x)


def resize(x, tokens, mode):
    """(B, T, C) -> (B, tokens, C); mode `area` going down, `linear` (half-pixel centres) going up."""
    return x if x.shape[1] == tokens else F.interpolate(x.transpose(1, 2), tokens, mode=mode).transpose(1, 2)


class MotionCodec(nn.Module):
    """Transformer auto-encoder around a multi-scale binary spherical quantiser."""

    def __init__(self, c):
        super().__init__()
        self.schedule = c["schedule"]
        self.encoder = codec_half("encoder", "code_mapping", MOTION_DIM, c["code_dim"], c)
        self.decoder = codec_half("decoder", "out_mapping", c["code_dim"], MOTION_DIM, c)
        self.register_buffer("motion_mean", torch.zeros(MOTION_DIM))
        self.register_buffer("motion_std", torch.ones(MOTION_DIM))

    def feature(self, bits):
        """Bits of one scale (B, p, C) -> their feature at full length (B, T, C)."""
        return resize((2.0 * bits - 1.0) / bits.shape[-1] ** 0.5, self.schedule[-1], "linear")

    def accumulate(self, bits):
        """Bits of the first scales -> running sums (B, T, C) of their features, one per scale."""
        return list(itertools.accumulate(self.feature(scale_bits) for scale_bits in bits))

    def condition(self, motion):
        """Raw motion (B, T, 108) -> bits -> sum of their features (B, T, C): what the generator is conditioned on."""
        residual = run_half(self.encoder, (motion - self.motion_mean) / (self.motion_std + 1e-8))
        bits = []
        for tokens in self.schedule:
            bits.append((F.normalize(resize(residual, tokens, "area"), dim=-1, eps=1e-12) > 0).float())
            residual = residual - self.feature(bits[-1])
        return self.accumulate(bits)[-1]

    def decode(self, bits):
        return run_half(self.decoder, self.accumulate(bits)[-1]) * self.motion_std + self.motion_mean


class CrossAttention(nn.Module):
    def __init__(self, width, heads, context_width):
        super().__init__()
        self.heads = heads
        self.self_norm, self.context_norm = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(context_width, eps=1e-6)
        self.q_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.k_proj, self.v_proj = nn.Linear(context_width, width), nn.Linear(context_width, width)

    def forward(self, x, context, positions, context_positions):
        q, context = self.q_proj(self.self_norm(x)), self.context_norm(context)
        k, v = self.k_proj(context), self.v_proj(context)
        return self.out_proj(attend(q, k, v, self.heads, positions, context_positions))


class Block(nn.Module):
    def __init__(self, width, heads, audio_dim):
        super().__init__()
        self.self_attn = SelfAttention(width, heads, 1e-6)
        self.self_audio_attn, self.other_audio_attn = (CrossAttention(width, heads, audio_dim) for _ in range(2))
        up, down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.ffn = nn.Sequential(nn.LayerNorm(width, eps=1e-6), up, nn.GELU("tanh"), down)

    def forward(self, x, own, partner, positions, audio_at, mask):
        x = x + self.self_attn(x, positions, mask)
        x = x + self.self_audio_attn(x, own, positions, audio_at)
        x = x + self.other_audio_attn(x, partner, positions, audio_at)
        return x + self.ffn(x)


class Generator(nn.Module):
    """Autoregressive over scales, parallel inside a scale; module names are those of the released checkpoints."""

    def __init__(self, c):
        super().__init__()
        self.schedule, width, audio_dim = c["schedule"], c["width"], c["audio_dim"]
        self.base_codec = MotionCodec(c)
        self.code_token_embed = nn.Linear(c["code_dim"], width)
        self.sos_embed = nn.Parameter(torch.zeros(1, 1, width))
        self.logits_head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * c["code_dim"]))
        stack = self.attn_blocks = nn.Module()
        stack.attn_blocks = nn.ModuleList([Block(width, c["heads"], audio_dim) for _ in range(c["depth"])])
        stack.lvl_embed = nn.Embedding(len(self.schedule), width)
        for name, size in dict(style_pos=width, prev_pos=width, self_pos=audio_dim, other_pos=audio_dim).items():
            stack.register_parameter(name, nn.Parameter(torch.zeros(1, 1, size)))

    def forward(self, style, previous, bits, own, partner):
        """Conditions (B, T, C) twice, bits of the scales so far, audio (B, S, A) twice -> next scale (B, p, C, 2)."""
        stack, scales, lengths = self.attn_blocks, len(bits) + 1, self.schedule[: len(bits) + 1]
        sums = zip(self.base_codec.accumulate(bits), lengths[1:])
        tokens = [self.sos_embed] + [self.code_token_embed(resize(total, n, "area")) for total, n in sums]
        levels = torch.repeat_interleave(stack.lvl_embed.weight[:scales], torch.tensor(lengths), dim=0)
        x = torch.cat([self.code_token_embed(style) + stack.style_pos,
                       self.code_token_embed(previous) + stack.prev_pos,
                       (torch.cat(tokens, dim=1) + levels).expand(len(style), -1, -1)], dim=1)
        own, partner = own + stack.self_pos, partner + stack.other_pos
        positions, audio_at, mask = layout(self.schedule, scales, own.shape[1])
        for block in stack.attn_blocks:
            x = block(x, own, partner, positions, audio_at, mask)
        return self.logits_head(x[:, -lengths[-1]:]).unflatten(-1, (-1, 2))


def top_p(logits, p=0.97):
    """Probabilities (..., 2) with the smaller class dropped when the larger one holds at least `p`."""
    probs = logits.softmax(-1)
    probs = probs.masked_fill(probs <= 1 - p, 0.0)
    return probs / probs.sum(-1, keepdim=True)


def timed(seconds, part, call, *arguments):
    start = time.perf_counter()
    result = call(*arguments)
    seconds[part] += time.perf_counter() - start
    return result


@torch.inference_mode()
def generate(model, encoder, own, partner, style=None, cfg=1.5, tau=1.0, greedy=False):
    """Two tracks (samples) -> motion of the first (frames, 108), bits (windows, L, C), audio features, seconds."""
    codec, window, seconds = model.base_codec, model.schedule[-1], defaultdict(float)
    frames = -(-len(own) // SAMPLES_PER_FRAME)
    windows = -(-frames // window)
    tracks = F.pad(torch.stack([own, partner]), (0, windows * window * SAMPLES_PER_FRAME - len(own)))
    tracks = tracks.view(2, windows, -1)  # each window is normalised and encoded on its own, padding included
    tracks = (tracks - tracks.mean(-1, keepdim=True)) / (tracks.std(-1, keepdim=True) + 1e-6)
    nothing = torch.zeros(1, window, MOTION_DIM)  # row 0 of a batch is conditional, row 1 unconditional
    style = timed(seconds, "codec", codec.condition, torch.cat([nothing if style is None else style, nothing]))
    motion, all_bits, all_features = [nothing], [], []
    for samples in tracks.unbind(1):
        features = [timed(seconds, "encoder", encoder, track[None]).last_hidden_state for track in samples]
        audio = [torch.cat([track, torch.zeros_like(track)]) for track in features]
        previous = timed(seconds, "codec", codec.condition, motion[-1].expand(2, -1, -1))
        bits = []
        for _ in model.schedule:
            logits = timed(seconds, "transformer", model, style, previous, bits, *audio) / tau
            logits = cfg * logits[:1] + (1 - cfg) * logits[1:] if cfg > 1 else logits[:1]
            drawn = logits.argmax(-1) if greedy else torch.multinomial(top_p(logits).flatten(0, -2), 1)
            bits.append(drawn.view(logits.shape[:-1]).float())
        motion.append(timed(seconds, "codec", codec.decode, bits))
        all_bits.append(torch.cat(bits, dim=1))
        all_features += features
    return torch.cat(motion[1:], dim=1)[0, :frames], torch.cat(all_bits), all_features, seconds


def check():
    """Compare with what the released code gave for the same tiny weights. Returns whether everything agrees."""
    golden, tables = load_file(FIXTURES / "gen.safetensors"), load_file(FIXTURES / "positions.safetensors")
    model = Generator(TINY).eval()
    model.load_state_dict(load_file(FIXTURES / "weights" / "gen_tiny.safetensors"), strict=True)
    encoder = transformers.Wav2Vec2Model.from_pretrained(FIXTURES / "hf_wav2vec2_tiny", dtype=torch.float32).eval()
    results = []

    def compare(what, found, expected, limit):
        off = (torch.as_tensor(found) - expected).abs()
        results.append(bool((off <= limit).all()))
        status = "ok  " if results[-1] else "FAIL"
        print(f"{status} {what:<26} {off.numel():5} numbers, largest error {off.max():.2g}, limit {limit:g}")

    for schedule, features in ((TINY["schedule"], 39), (PAPER["schedule"], 199)):
        name = "_".join(map(str, schedule))
        positions, audio_at, _ = layout(schedule, len(schedule), features)
        compare(f"positions {name}", positions, tables[name + ".rope_pos"], 0)
        compare(f"audio at {name}", audio_at, tables[name + ".audio_rope_pos"], 0)
    compare("sampler probabilities", top_p(golden["sampler.logits"]), golden["sampler.probs"], 1e-4)
    (first, second), clip = golden["infer.audio"][0], golden["infer.style_motion_code"][:, 0]
    cases = {"zero_cond": (first, second), "swapped": (second, first), "single": (first, torch.zeros_like(first)),
             "style": (first, second, clip), "style_nocfg_tau07": (first, second, clip, 1.0, 0.7)}
    for name, arguments in cases.items():
        motion, bits, features, _ = generate(model, encoder, *arguments, greedy=True)
        compare(f"{name} bits", bits, golden[f"infer.{name}.bits"], 0)
        compare(f"{name} motion", motion, golden[f"infer.{name}.pred_motion_code"][0], 1e-4)
        if name == "zero_cond":
            expected = [golden[f"infer.audio_feat{track}.chunk{w}"] for w in range(len(bits)) for track in (0, 1)]
            compare("audio features", torch.cat(features), torch.cat(expected), 1e-4)
    return all(results)


def random_weights(build):
    """Build a module without its own initialisation, then fill it cheaply: norms 1, biases 0, the rest N(0, 0.02)."""
    with torch.device("meta"):
        module = build().to_empty(device="cpu").eval()
    for name, tensor in module.state_dict().items():
        tensor.normal_(std=0.02)
        if tensor.ndim == 1:
            tensor.fill_(0.0 if name.endswith(("bias", "mean")) else 1.0)
    return module


def measure(model, encoder, tracks, repeat):
    """Part -> list of seconds. Every number comes from the same complete runs, one call for each participant."""
    parts = defaultdict(list)
    generate(model, encoder, *tracks[:, : model.schedule[-1] * SAMPLES_PER_FRAME])  # warm-up: one window
    for _ in range(repeat):
        start = time.perf_counter()
        for own, partner in (tracks, tracks.flip(0)):
            call = time.perf_counter()
            seconds = generate(model, encoder, own, partner)[-1]
            total = time.perf_counter() - call
            parts["encoder, both tracks once"].append(seconds["encoder"])
            parts["generator and codec, one participant"].append(total - seconds["encoder"])
            parts["  of it: transformer"].append(seconds["transformer"])
            parts["  of it: codec"].append(seconds["codec"])
            parts["one participant, in all"].append(total)
        parts["both participants, in all"].append(time.perf_counter() - start)
    return parts


def clock(options):
    torch.manual_seed(0)
    model = random_weights(lambda: Generator(PAPER))
    encoder = random_weights(lambda: transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**XLS_R_300M)))
    tracks = 0.1 * torch.randn(2, round(options.seconds * SAMPLE_RATE))
    cpu = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    result = dict(torch=torch.__version__, transformers=transformers.__version__, cpu=cpu[0] if cpu else "unknown",
                  cores=os.cpu_count(), load_before=os.getloadavg()[0], dtype="float32", audio_seconds=options.seconds,
                  parameters=sum(p.numel() for module in (model, encoder) for p in module.parameters()))
    print(*(f"{key}: {value}" for key, value in result.items()), sep="\n")
    result["runs"] = []
    for threads in map(int, options.threads.split(",")):
        torch.set_num_threads(threads)
        parts = measure(model, encoder, tracks, options.repeat)
        print(f"\n{f'seconds, {threads} thread(s)':<38}{'min':>9}{'median':>9}{'runs':>6}")
        for name, v in parts.items():
            parts[name] = dict(min=min(v), median=median(v), all=v)
            print(f"{name:<38}{min(v):9.3f}{median(v):9.3f}{len(v):6}")
        result["runs"].append(dict(threads=threads, parts={name.strip(): v for name, v in parts.items()}))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description="UniLS inference in PyTorch, to check and to time.")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--check", action="store_true", help="reproduce the fixtures; exit status 1 if anything differs")
    mode.add_argument("--time", action="store_true", help="time the full-size configuration with random weights")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the conversation (default 20)")
    parser.add_argument("--threads", default="1,2", help="thread counts to time, separated by commas (default 1,2)")
    parser.add_argument("--repeat", type=int, default=3, help="complete runs for each thread count (default 3)")
    parser.add_argument("--json", type=Path, help="write the times to this file as well")
    options = parser.parse_args()
    if options.check:
        raise SystemExit(0 if check() else 1)
    clock(options)


if __name__ == "__main__":
    main()
