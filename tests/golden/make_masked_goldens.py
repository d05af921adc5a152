"""Records tests/golden/masked.json: what greedy low-confidence sampling writes with the tiny LLaDA and Dream checkpoints.

Run: python3 tests/golden/make_masked_goldens.py
Needs the PyPI packages torch, safetensors (recorded with torch 2.15) and the checkpoints of make_family_goldens.py. The sampler is
LLaDA's as published (arXiv 2502.09992, algorithm 5 with semi-autoregressive blocks): in each of T steps of a block all masks are
guessed, and the surest are kept, as many as an even schedule says, the remainder first. Two choices of ours: MASK itself has
probability 0, and Dream, whose row i speaks of token i + 1, is sampled by the same schedule. Everything in float64 on the stored
(bf16) weights. Guesses whose order hangs on less than 1e-6 are reported, so that a golden never rests on rounding.
"""

import json
import pathlib

import torch
from safetensors.torch import load_file

HERE = pathlib.Path(__file__).parent
MASK = 66
BLOCK = dict(
    llada=dict(layer="model.transformer.blocks.{}.", norm1="attn_norm", norm2="ff_norm", q="q_proj", k="k_proj", v="v_proj",
               o="attn_out", gate="ff_proj", up="up_proj", down="ff_out", embed="model.transformer.wte", final="model.transformer.ln_f",
               head="model.transformer.ff_out", positions="model.transformer.wpe"),
    dream=dict(layer="model.layers.{}.", norm1="input_layernorm", norm2="post_attention_layernorm", q="self_attn.q_proj",
               k="self_attn.k_proj", v="self_attn.v_proj", o="self_attn.o_proj", gate="mlp.gate_proj", up="mlp.up_proj",
               down="mlp.down_proj", embed="model.embed_tokens", final="model.norm", head="lm_head", positions=""))


class Model:
    def __init__(self, folder):
        self.w = {k: v.double() for k, v in load_file(HERE / "families" / folder / "model.safetensors").items()}
        config = json.loads((HERE / "families" / folder / "config.json").read_text())
        self.dream = config["model_type"] == "Dream"
        self.names = BLOCK["dream" if self.dream else "llada"]
        self.heads, self.theta, self.eps = 4, config["rope_theta"], config["rms_norm_eps"]

    def lin(self, name, x):
        y = x @ self.w[name + ".weight"].T
        return y + self.w[name + ".bias"] if name + ".bias" in self.w else y

    def norm(self, name, x):
        return x / (x.square().mean(-1, keepdim=True) + self.eps).sqrt() * self.w[name + ".weight"]

    def rotate(self, x):
        if self.names["positions"] + ".weight" in self.w:
            return x
        half = x.shape[-1] // 2
        phase = torch.arange(x.shape[1], dtype=torch.float64)[:, None] / self.theta ** (torch.arange(half, dtype=torch.float64) / half)
        z = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(phase), phase)
        return torch.cat([z.real, z.imag], -1)

    def logits(self, ids):
        n = self.names
        x = self.w[n["embed"] + ".weight"][ids]
        if n["positions"] + ".weight" in self.w:
            x = x + self.w[n["positions"] + ".weight"][: len(ids)]
        for i in range(2):
            at = n["layer"].format(i)
            h = self.norm(at + n["norm1"], x)
            q, k, v = (self.lin(at + n[p], h).view(len(ids), -1, 6).transpose(0, 1) for p in "qkv")
            k, v = (t.repeat_interleave(self.heads // t.shape[0], 0) for t in (k, v))
            mix = (self.rotate(q) @ self.rotate(k).transpose(1, 2) / 6 ** 0.5).softmax(-1) @ v
            x = x + self.lin(at + n["o"], mix.transpose(0, 1).reshape(len(ids), -1))
            h = self.norm(at + n["norm2"], x)
            x = x + self.lin(at + n["down"], torch.nn.functional.silu(self.lin(at + n["gate"], h)) * self.lin(at + n["up"], h))
        y = self.lin(n["head"], self.norm(n["final"], x))
        if self.dream:
            y = torch.cat([y[:1], y[:-1]])
        y[:, MASK] = -torch.inf
        return y


def sample(model, prompt, length, steps, block):
    form = MASK in prompt
    x = torch.tensor(prompt + ([] if form else [MASK] * length))
    places = (x == MASK).nonzero().flatten().tolist()
    blocks = [places[i:i + block] for i in range(0, len(places), block)]
    assert steps % len(blocks) == 0
    each, gap = steps // len(blocks), 1.0
    for places in blocks:
        base, rest = divmod(len(places), each)
        for step in range(each):
            p, token = model.logits(x).softmax(-1).max(-1)
            masked = sorted((i for i in places if x[i] == MASK), key=lambda i: -p[i])
            count = base + (step < rest)
            if 0 < count < len(masked):
                gap = min(gap, float(p[masked[count - 1]] - p[masked[count]]))
            for i in masked[:count]:
                x[i] = token[i]
    text = x.tolist() if form else x[len(prompt):].tolist()
    return text, gap


cases = []
for folder in ("llada", "llada_learned", "dream"):
    model = Model(folder)
    want = torch.tensor(json.loads((HERE / "families" / folder / "golden.json").read_text())["logits"], dtype=torch.float64).view(-1, 67)
    got = model.logits(torch.tensor(json.loads((HERE / "families" / folder / "golden.json").read_text())["tokens"]))
    if model.dream:
        want = torch.cat([want[:1], want[:-1]])
    worst = (got - want)[:, :MASK].abs().max().item()
    assert worst < 1e-4, worst
    torch.manual_seed(9)
    for length, steps, block in ((16, 16, 16), (18, 5, 18), (24, 6, 8), (24, 24, 12), (30, 1, 30)):
        prompt = torch.randint(3, 66, (int(torch.randint(2, 9, ())),)).tolist()
        text, gap = sample(model, prompt, length, steps, block)
        cases.append(dict(model=folder, prompt=prompt, max_tokens=length, steps=steps, block=block, tokens=text))
        print(folder, length, steps, block, f"{gap:.1e}")
    for count in (6, 12):
        form = torch.randint(3, 66, (20,)).tolist()
        for i in torch.randperm(20)[:count].tolist():
            form[i] = MASK
        text, gap = sample(model, form, 0, 3, count)
        cases.append(dict(model=folder, prompt=form, max_tokens=0, steps=3, block=count, tokens=text))
        print(folder, "form", count, f"{gap:.1e}")
(HERE / "masked.json").write_text(json.dumps(cases) + "\n")
