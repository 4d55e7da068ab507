"""Train a ConvS5 that predicts the next frame of Moving-MNIST clips, and record its outputs.

usage: train_convs5.py SECONDS, with the environment variable OUT naming a folder

Reads zoo_data/train-images.gz and zoo_data/t10k-images.gz (MNIST's idx files); writes OUT/convs5/model.safetensors with the
parameter paths of the original flax code, config.json and golden.safetensors. Needs a GPU, PyTorch, numpy, safetensors.
"""

import gzip
import json
import math
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

DEVICE = "cuda"
SIDE, DIGIT = 64, 28
DEPTHS = [32, 64, 64]  # widths at 64 x 64, 32 x 32 and 16 x 16 pixels
WIDTH, STATES, LAYERS, KERNEL = 64, 64, 3, 3
STORED = STATES // 2  # one state of each conjugate pair


# ---- clips -----------------------------------------------------------------------------------------------------------


def read_images(path):
    data = gzip.open(path).read()
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    images = np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * data[3]).reshape(shape)
    return torch.from_numpy(images.astype(np.float32) / 255).to(DEVICE)


def make_clips(images, n_clip, n_time, generator=None):
    """[n_time, n_clip, 1, 64, 64] in [-1, 1]: two digits that move by 3 pixels a frame and bounce off the sides."""
    n_digit, room = 2, SIDE - DIGIT

    def random(*shape):
        return torch.rand(*shape, device=DEVICE, generator=generator)

    which = torch.randint(0, images.shape[0], (n_clip, n_digit), device=DEVICE, generator=generator)
    start, angle = random(n_clip, n_digit, 2) * room, random(n_clip, n_digit) * 2 * math.pi
    velocity = torch.stack([angle.cos(), angle.sin()], -1) * 3.0
    t = torch.arange(n_time, device=DEVICE).view(n_time, 1, 1, 1)
    place = (start + velocity * t) % (2 * room)  # there and back again
    place = torch.where(place > room, 2 * room - place, place).round().long()
    frames = torch.zeros(n_time * n_clip, SIDE * SIDE, device=DEVICE)
    rows, columns = torch.meshgrid(torch.arange(DIGIT, device=DEVICE), torch.arange(DIGIT, device=DEVICE), indexing="ij")
    for k in range(n_digit):
        at = (place[:, :, k, 0, None, None] + rows) * SIDE + place[:, :, k, 1, None, None] + columns
        pixels = images[which[:, k]].view(1, n_clip, -1).expand(n_time, n_clip, DIGIT * DIGIT)
        frames.scatter_reduce_(1, at.view(n_time * n_clip, -1), pixels.reshape(n_time * n_clip, -1), "amax")
    return frames.view(n_time, n_clip, 1, SIDE, SIDE) * 2 - 1


# ---- the model -------------------------------------------------------------------------------------------------------


def gelu(x):
    return F.gelu(x, approximate="tanh")


def group_norm(width):
    return nn.GroupNorm(32, width, eps=1e-6)


def hippo_normal(n):
    """Eigenvalues and eigenvectors of the normal part of the HiPPO-LegS matrix."""
    q, p = np.sqrt(1 + 2 * np.arange(n)), np.sqrt(np.arange(n) + 0.5)
    a = -(np.tril(q[:, None] * q[None]) - np.diag(np.arange(n)))
    skew = a + p[:, None] * p[None]
    imaginary, vectors = np.linalg.eigh(skew * -1j)
    return np.mean(np.diagonal(skew)) * np.ones(n) + 1j * imaginary, vectors


class ResidualBlock(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.skip = nn.Conv2d(n_in, n_out, 1, bias=False) if n_in != n_out else None
        self.norms = nn.ModuleList([group_norm(n_in), group_norm(n_out)])
        self.convs = nn.ModuleList(
            [nn.Conv2d(n_in, n_out, 3, padding=1), nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)]
        )
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x):
        h = self.convs[0](F.elu(self.norms[0](x)))
        h = self.convs[1](F.elu(self.norms[1](h))) + self.bias[:, None, None]
        return (x if self.skip is None else self.skip(x)) + 0.1 * h


class AfterRecurrence(nn.Module):
    """C_D_config "resnet" of the original: two convolutions, and a residual sum inside the last activation."""

    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList([group_norm(WIDTH), group_norm(WIDTH)])
        self.convs = nn.ModuleList([nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(2)])

    def forward(self, y):
        h = self.convs[0](gelu(self.norms[0](y)))
        h = self.convs[1](gelu(self.norms[1](h)))
        return gelu(y + h)


class Recurrence(nn.Module):
    def __init__(self):
        super().__init__()
        eigenvalues, vectors = hippo_normal(STATES)
        eigenvalues, vectors = eigenvalues[:STORED], vectors[:, :STORED]
        n_tap = KERNEL * KERNEL

        def pairs(values):
            return nn.Parameter(torch.tensor(np.stack([values.real, values.imag], -1), dtype=torch.float32))

        b = vectors.conj().T @ (np.random.randn(STATES, WIDTH * n_tap) * math.sqrt(2 / (WIDTH * n_tap)))
        c = (np.random.randn(WIDTH * n_tap, STATES) * math.sqrt(2 / (STATES * n_tap))) @ vectors
        self.Lambda_re = nn.Parameter(torch.tensor(eigenvalues.real, dtype=torch.float32))
        self.Lambda_im = nn.Parameter(torch.tensor(eigenvalues.imag, dtype=torch.float32))
        self.B = pairs(b)
        self.C = pairs(c.reshape(WIDTH, KERNEL, KERNEL, STORED).transpose(1, 2, 3, 0))
        self.log_step = nn.Parameter(torch.rand(STORED, 1) * (math.log(0.1) - math.log(0.001)) + math.log(0.001))
        self.after = AfterRecurrence()

    def forward(self, u, state=None):
        n_time, n_clip = u.shape[:2]
        eigenvalues = torch.complex(self.Lambda_re.clamp(max=-1e-4), self.Lambda_im)
        a = torch.exp(eigenvalues * self.log_step[:, 0].exp())
        b = ((a - 1) / eigenvalues)[:, None] * torch.complex(self.B[..., 0], self.B[..., 1])
        b = b.view(STORED, WIDTH, KERNEL, KERNEL)
        driven = F.conv2d(u.flatten(0, 1), torch.cat([b.real, b.imag], 0), padding=1).float().unflatten(0, (n_time, n_clip))
        re, im = driven[:, :, :STORED], driven[:, :, STORED:]
        a_re, a_im = a.real[:, None, None], a.imag[:, None, None]
        x_re, x_im = state if state is not None else (torch.zeros_like(re[0]), torch.zeros_like(im[0]))
        states = []
        for t in range(n_time):
            x_re, x_im = a_re * x_re - a_im * x_im + re[t], a_re * x_im + a_im * x_re + im[t]
            states.append(torch.cat([x_re, x_im], 1))
        c = self.C.permute(3, 2, 0, 1, 4)
        y = 2 * F.conv2d(torch.stack(states).flatten(0, 1), torch.cat([c[..., 0], -c[..., 1]], 1), padding=1)
        return self.after(y).unflatten(0, (n_time, n_clip)), (x_re, x_im)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.seq = Recurrence()
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, u, state=None):
        y, state = self.seq(u, state)
        return self.norm((u + y).movedim(2, -1)).movedim(-1, 2), state


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        d = DEPTHS
        self.first = nn.Conv2d(1, d[0], 3, padding=1)
        self.encoder = nn.ModuleList([ResidualBlock(d[0], d[0]), ResidualBlock(d[0], d[1]), ResidualBlock(d[1], d[2])])
        self.embedding = nn.Parameter(torch.randn(2, 1))
        self.action_conv = nn.Conv2d(d[2] + 1, WIDTH, 1)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.last = nn.Conv2d(WIDTH, d[0], 3, padding=1)
        self.decoder = nn.ModuleList([ResidualBlock(d[0], d[2]), ResidualBlock(d[2], d[1]), ResidualBlock(d[1], d[0])])
        self.norm = nn.LayerNorm(d[0], eps=1e-6)
        self.dense = nn.Linear(d[0], 1)

    def forward(self, frames, states=None):
        n_time, n_clip = frames.shape[:2]
        h = self.encoder[0](self.first(frames.flatten(0, 1)))
        for block in self.encoder[1:]:
            h = block(F.avg_pool2d(h, 2))
        action = self.embedding[0].view(1, 1, 1, 1).expand(h.shape[0], 1, *h.shape[2:])  # always action 0
        h = self.action_conv(torch.cat([h, action], 1)).unflatten(0, (n_time, n_clip))
        last = []
        for i, layer in enumerate(self.layers):
            h, state = layer(h, None if states is None else states[i])
            last.append(state)
        h = self.decoder[0](self.last(h.flatten(0, 1)))
        for block in self.decoder[1:]:
            h = block(F.interpolate(h, scale_factor=2, mode="nearest"))
        h = self.dense(self.norm(h.movedim(1, -1))).movedim(-1, 1)
        return torch.tanh(h).unflatten(0, (n_time, n_clip)), last


# ---- training --------------------------------------------------------------------------------------------------------


def loss_of(model, images, n_clip, n_time):
    clips = make_clips(images, n_clip, n_time)
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        found, _ = model(clips[:-1])
    gap = found.float()[4:] - clips[5:]  # the first frames cannot be foreseen
    return gap.abs().mean() + (gap**2).mean()


def train(model, images, seconds):
    def is_system(name):
        return any(part in name for part in ("Lambda", "log_step"))

    system = [p for n, p in model.named_parameters() if is_system(n)]
    others = [p for n, p in model.named_parameters() if not is_system(n)]
    groups = [
        {"params": system, "base": 1e-3, "lr": 0, "weight_decay": 0},
        {"params": others, "base": 1.5e-3, "lr": 0, "weight_decay": 1e-4},
    ]
    optimizer = torch.optim.AdamW(groups, fused=True)
    begin, step = time.time(), 0
    while (elapsed := time.time() - begin) < seconds:
        part = elapsed / seconds
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * min(1, (step + 1) / 100) * max(0.02, 0.5 * (1 + math.cos(math.pi * part)))
        loss = loss_of(model, images, 32, 20 if part < 0.6 else 40)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 100 == 0:
            print(step, round(loss.item(), 5), f"{elapsed:.0f}s", flush=True)


# ---- files -----------------------------------------------------------------------------------------------------------


def parameters_of(model):
    """The weights by their paths in the original flax code; convolution kernels as [row, column, in, out]."""
    out = {}

    def conv(path, layer):
        out[path + "/kernel"] = layer.weight.permute(2, 3, 1, 0)
        if layer.bias is not None:
            out[path + "/bias"] = layer.bias

    def norm(path, layer):
        out[path + "/scale"], out[path + "/bias"] = layer.weight, layer.bias

    def block(path, layer):
        first = 0 if layer.skip is None else 1  # flax numbers the skip's convolution first
        if layer.skip is not None:
            conv(path + "/Conv_0", layer.skip)
        for i in range(2):
            norm(f"{path}/GroupNorm_{i}", layer.norms[i])
            conv(f"{path}/Conv_{first + i}", layer.convs[i])
        out[path + "/AddBias_0/bias"] = layer.bias

    conv("params/encoder/Conv_0", model.first)
    conv("params/decoder/Conv_0", model.last)
    for i in range(3):
        block(f"params/encoder/ResNetBlock_{i}", model.encoder[i])
        block(f"params/decoder/ResNetBlock_{i}", model.decoder[i])
    out["params/action_embeds/embedding"] = model.embedding
    conv("params/action_conv/Conv_0", model.action_conv)
    for i, layer in enumerate(model.layers):
        path = f"params/sequence_model/layers_{i}"
        for name in ("Lambda_re", "Lambda_im", "B", "C", "log_step"):
            out[f"{path}/seq/{name}"] = getattr(layer.seq, name)
        for k in range(2):
            norm(f"{path}/seq/C_D_conv/GroupNorm_{k}", layer.seq.after.norms[k])
            conv(f"{path}/seq/C_D_conv/Conv_{k}", layer.seq.after.convs[k])
        norm(path + "/norm", layer.norm)
    norm("params/decoder/LayerNorm_0", model.norm)
    out["params/decoder/Dense_0/kernel"], out["params/decoder/Dense_0/bias"] = model.dense.weight.T, model.dense.bias
    return {name: value.detach().float().cpu().contiguous() for name, value in out.items()}


def record(model, images):
    """Outputs for 16 clips of test digits, of which the first one's are kept; and the errors of all, frame by frame."""
    generator = torch.Generator(device=DEVICE)
    generator.manual_seed(99)
    clips = make_clips(images, 16, 60, generator)
    following, states = model(clips[:20])
    golden = {"frames": ((clips + 1) * 127.5).round().to(torch.uint8)[:, :2], "next": following[:, :1]}
    for i, (re, im) in enumerate(states):
        golden[f"layer{i}.state_re"], golden[f"layer{i}.state_im"] = re[:1], im[:1]
    frame, rollout = following[-1:], [following[-1:]]
    for _ in range(21, 60):
        frame, states = model(frame, states)
        rollout.append(frame)
    rollout = torch.cat(rollout)
    golden["rollout"] = rollout[:, :1]
    errors = [((rollout[i].clamp(-1, 1) - clips[20 + i]) / 2).pow(2).mean().item() for i in range(40)]
    return {name: value.cpu().contiguous() for name, value in golden.items()}, errors


def config_of(errors):
    return {
        "model_type": "convs5",
        "frame": [SIDE, SIDE, 1],
        "frame_range": [-1, 1],
        "encoder_depths": DEPTHS,
        "encoder_blocks": 1,
        "decoder_depths": DEPTHS,
        "decoder_blocks": 1,
        "d_model": WIDTH,
        "ssm_size": STATES,
        "n_layers": LAYERS,
        "k_B": KERNEL,
        "k_C": KERNEL,
        "k_D": KERNEL,
        "C_D_config": "resnet",
        "clip_eigs": True,
        "blocks": 1,
        "activation": "gelu_tanh",
        "postnorm": True,
        "action_dim": 1,
        "use_actions": False,
        "output": "tanh",
        "open_loop_mse": {str(i): errors[i - 1] for i in (1, 5, 10, 20, 40)},
    }


def main():
    torch.manual_seed(6)
    np.random.seed(6)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    model = Model().to(DEVICE)
    train(model, read_images("zoo_data/train-images.gz"), float(sys.argv[1]))
    model.eval()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    folder = os.path.join(os.environ["OUT"], "convs5")
    os.makedirs(folder, exist_ok=True)
    with torch.inference_mode():
        golden, errors = record(model, read_images("zoo_data/t10k-images.gz"))
    save_file(parameters_of(model), os.path.join(folder, "model.safetensors"))
    save_file(golden, os.path.join(folder, "golden.safetensors"))
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config_of(errors), file, indent=1)


if __name__ == "__main__":
    main()
