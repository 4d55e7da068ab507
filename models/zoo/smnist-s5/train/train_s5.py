"""Trains an S5 classifier of sequential MNIST (784 steps, one pixel a step) and exports it with the parameter paths of the
original flax code, with reference outputs.

usage: train_s5.py SECONDS

Needs a GPU, PyTorch and safetensors. Reads the four files of MNIST (train-images.gz, train-labels.gz, t10k-images.gz,
t10k-labels.gz) in zoo_data/, writes to the folder s5 under that of the environment variable OUT.
"""

import gzip
import json
import math
import os
import sys
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

SECONDS = float(sys.argv[1])
OUT = os.path.join(os.environ["OUT"], "s5")
DEVICE = "cuda"

H = 128  # channels of the residual stream
P_FULL = 128  # states, conjugates counted
N_LAYER = 4
N_BLOCK = 4  # of the initial state matrix
P = P_FULL // 2  # states that are stored
N_CLASS = 10
BATCH = 128

torch.manual_seed(5)
np.random.seed(5)


def read_idx(path):
    """An array in the format of MNIST's files."""
    data = gzip.open(path).read()
    n_dim = data[3]
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(n_dim)]
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * n_dim).reshape(shape)


def hippo_normal(n):
    """Eigenvalues and eigenvectors of the normal part of the HiPPO-LegS matrix of size n."""
    q = np.sqrt(1 + 2 * np.arange(n))
    a = -(np.tril(q[:, None] * q[None]) - np.diag(np.arange(n)))
    p = np.sqrt(np.arange(n) + 0.5)
    s = a + p[:, None] * p[None]
    imaginary, v = np.linalg.eigh(s * -1j)
    return np.mean(np.diagonal(s)) * np.ones(n) + 1j * imaginary, v


def initial_blocks():
    """The same on N_BLOCK diagonal blocks; of each conjugate pair one eigenvalue."""
    size = P_FULL // N_BLOCK
    half = size // 2
    lam, v = hippo_normal(size)
    lam, v = lam[:half], v[:, :half]
    blocks = np.zeros((P_FULL, P), complex)
    for i in range(N_BLOCK):
        blocks[i * size : (i + 1) * size, i * half : (i + 1) * half] = v
    return np.tile(lam, N_BLOCK), blocks


LAMBDA, V = initial_blocks()


def as_parameter(values):
    """A complex array as a parameter whose last dimension holds real and imaginary parts."""
    return nn.Parameter(torch.tensor(np.stack([values.real, values.imag], -1), dtype=torch.float32))


class SSM(nn.Module):
    def __init__(self):
        super().__init__()
        self.Lambda_re = nn.Parameter(torch.tensor(LAMBDA.real, dtype=torch.float32))
        self.Lambda_im = nn.Parameter(torch.tensor(LAMBDA.imag, dtype=torch.float32))
        b = np.random.randn(P_FULL, H) / math.sqrt(H)
        self.B = as_parameter(V.conj().T @ b)
        c = (np.random.randn(H, P_FULL) + 1j * np.random.randn(H, P_FULL)) / math.sqrt(2 * P_FULL) * math.sqrt(2)
        self.C = as_parameter(c @ V)
        self.D = nn.Parameter(torch.randn(H))
        low, high = math.log(0.001), math.log(0.1)
        self.log_step = nn.Parameter(torch.rand(P, 1) * (high - low) + low)

    def forward(self, u):
        lam = torch.complex(self.Lambda_re.clamp(max=-1e-4), self.Lambda_im)
        step = self.log_step[:, 0].exp()
        a = torch.exp(lam * step)
        b = ((a - 1) / lam)[:, None] * torch.complex(self.B[..., 0], self.B[..., 1])
        x = u.to(torch.complex64) @ b.T
        # The recurrence x[t] = a x[t-1] + b u[t]: after the pass with distance k, x[t] holds the last 2 k terms.
        k, log_a = 1, lam * step
        while k < u.shape[1]:
            x = torch.cat([x[:, :k], x[:, k:] + torch.exp(log_a * k) * x[:, :-k]], 1)
            k *= 2
        c = torch.complex(self.C[..., 0], self.C[..., 1])
        return 2 * (x @ c.T).real + self.D * u


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.seq = SSM()
        self.norm = nn.BatchNorm1d(H)
        self.out2 = nn.Linear(H, H)

    def forward(self, x):
        h = self.norm(x.transpose(1, 2)).transpose(1, 2)
        g = F.gelu(self.seq(h), approximate="tanh")
        return x + g * torch.sigmoid(self.out2(g))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(1, H)
        self.layers = nn.ModuleList(Layer() for _ in range(N_LAYER))
        self.decoder = nn.Linear(H, N_CLASS)

    def forward(self, x):
        x = self.encoder(x)
        for layer in self.layers:
            x = layer(x)
        return F.log_softmax(self.decoder(x.mean(1)), -1)


def as_input(images):
    return torch.from_numpy(images.reshape(-1, 784, 1).astype(np.float32) / 255).to(DEVICE)


def train(model, x, y):
    # The parameters of the recurrence learn slowly and without weight decay.
    slow_names = ("Lambda", "log_step", "seq.B")
    slow = [p for name, p in model.named_parameters() if any(s in name for s in slow_names)]
    fast = [p for name, p in model.named_parameters() if not any(s in name for s in slow_names)]
    optimizer = torch.optim.AdamW(
        [
            dict(params=slow, lr=1e-3, weight_decay=0, base=1e-3),
            dict(params=fast, lr=4e-3, weight_decay=0.05, base=4e-3),
        ]
    )
    begin, step = time.time(), 0
    while (elapsed := time.time() - begin) < SECONDS:
        scale = min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * elapsed / SECONDS))
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * scale
        batch = torch.randint(0, len(x), (BATCH,), device=DEVICE)
        loss = F.nll_loss(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 200 == 0:
            print(step, round(loss.item(), 4), f"{elapsed:.0f}s", flush=True)


def export_weights(model):
    tensors = {}
    for i, layer in enumerate(model.layers):
        path = f"params/encoder/layers_{i}/"
        for name in ("Lambda_re", "Lambda_im", "B", "C", "D", "log_step"):
            tensors[path + "seq/" + name] = getattr(layer.seq, name)
        tensors[path + "out2/kernel"] = layer.out2.weight.T
        tensors[path + "out2/bias"] = layer.out2.bias
        tensors[path + "norm/scale"] = layer.norm.weight
        tensors[path + "norm/bias"] = layer.norm.bias
        tensors[f"batch_stats/encoder/layers_{i}/norm/mean"] = layer.norm.running_mean
        tensors[f"batch_stats/encoder/layers_{i}/norm/var"] = layer.norm.running_var
    tensors["params/encoder/encoder/kernel"] = model.encoder.weight.T
    tensors["params/encoder/encoder/bias"] = model.encoder.bias
    tensors["params/decoder/kernel"] = model.decoder.weight.T
    tensors["params/decoder/bias"] = model.decoder.bias
    tensors = {name: value.detach().float().cpu().contiguous() for name, value in tensors.items()}
    save_file(tensors, os.path.join(OUT, "model.safetensors"))


def export_config(accuracy):
    config = dict(
        model_type="s5",
        d_input=1,
        d_model=H,
        ssm_size_base=P_FULL,
        blocks=N_BLOCK,
        n_layers=N_LAYER,
        n_classes=N_CLASS,
        activation="half_glu1",
        prenorm=True,
        batchnorm=True,
        bn_eps=1e-5,
        conj_sym=True,
        clip_eigs=True,
        bidirectional=False,
        discretization="zoh",
        step_rescale=1.0,
        pooling="mean",
        head="log_softmax",
        input_scale="pixel/255",
        labels=[str(i) for i in range(N_CLASS)],
        test_accuracy=accuracy,
    )
    with open(os.path.join(OUT, "config.json"), "w") as file:
        json.dump(config, file, indent=1)


def export_golden(model, images, labels, x, logits):
    """1,000 test digits with their logits, and the layers' outputs of the first one."""
    tensors = {
        "input": torch.from_numpy(images[:1000].reshape(1000, 784).copy()),
        "labels": torch.from_numpy(labels[:1000].astype(np.int32)),
        "logits": logits[:1000].float().cpu(),
    }
    h = model.encoder(x[:2])
    for i, layer in enumerate(model.layers):
        h = layer(h)
        tensors[f"layer{i}.out"] = h[:1].float().cpu()
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    save_file(tensors, os.path.join(OUT, "golden.safetensors"))


def main():
    images, labels = read_idx("zoo_data/train-images.gz"), read_idx("zoo_data/train-labels.gz")
    test_images, test_labels = read_idx("zoo_data/t10k-images.gz"), read_idx("zoo_data/t10k-labels.gz")
    model = Model().to(DEVICE)
    print("parameters", sum(p.numel() for p in model.parameters()))
    train(model, as_input(images), torch.from_numpy(labels.astype(np.int64)).to(DEVICE))

    model.eval()
    os.makedirs(OUT, exist_ok=True)
    with torch.inference_mode():
        x, y = as_input(test_images), torch.from_numpy(test_labels.astype(np.int64)).to(DEVICE)
        logits = torch.cat([model(x[i : i + 500]) for i in range(0, len(x), 500)])
        accuracy = (logits.argmax(-1) == y).float().mean().item()
        print("test accuracy", accuracy)
        export_golden(model, test_images, test_labels, x, logits)
    export_weights(model)
    export_config(accuracy)


if __name__ == "__main__":
    main()
