# Trains a small Mamba-1 language model on stories that models/zoo/stories-mamba2 tells, towards that model's own distribution, and
# exports it in Hugging Face's layout with reference outputs. One GPU, PyTorch, Triton, transformers.
#   python3 train_mamba.py STORIES_MAMBA2_FOLDER OUTPUT_FOLDER GENERATE_SECONDS TRAIN_SECONDS
import json
import math
import os
import shutil
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
import triton
import triton.language as tl
from safetensors.torch import load_file, save_file

teacher_folder, out_folder, generate_seconds, train_seconds = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
dev = 'cuda'
torch.manual_seed(3)
torch.backends.cuda.matmul.allow_tf32 = True
V, D, NL, N, R, K = 4096, 256, 10, 16, 16, 4  # vocabulary, width, layers, state, rank of dt, convolution width
E = 2 * D
T = 512       # tokens of a sequence
TOP = 64      # the teacher's most probable tokens that count


# ---- the selective scan and its gradient (Gu and Dao 2023, section 3.3) -----------------------------------------------
# h[t] = exp(d[t] A) h[t-1] + d[t] u[t] B[t],  y[t] = C[t] . h[t];  u, d [B, T, E], A [E, N], B, C [B, T, N]; every h is kept.
@triton.jit
def scan_forward(U, Dt, A, Bm, C, Y, H, T, E: tl.constexpr, N: tl.constexpr, BE: tl.constexpr):
    b = tl.program_id(0)
    e = tl.program_id(1) * BE + tl.arange(0, BE)
    n = tl.arange(0, N)
    a = tl.load(A + e[:, None] * N + n[None, :])
    h = tl.zeros([BE, N], tl.float32)
    row = b.to(tl.int64) * T
    u, d = tl.load(U + row * E + e).to(tl.float32), tl.load(Dt + row * E + e)
    bm, c = tl.load(Bm + row * N + n).to(tl.float32), tl.load(C + row * N + n).to(tl.float32)
    for t in range(T):
        following = tl.minimum(row + 1, b.to(tl.int64) * T + T - 1)
        u1, d1 = tl.load(U + following * E + e).to(tl.float32), tl.load(Dt + following * E + e)
        b1, c1 = tl.load(Bm + following * N + n).to(tl.float32), tl.load(C + following * N + n).to(tl.float32)
        h = tl.exp(d[:, None] * a) * h + (d * u)[:, None] * bm[None, :]
        tl.store(Y + row * E + e, tl.sum(h * c[None, :], 1))
        tl.store(H + (row * E + e)[:, None] * N + n[None, :], h.to(tl.bfloat16))
        u, d, bm, c = u1, d1, b1, c1
        row += 1


@triton.jit
def scan_backward(U, Dt, A, Bm, C, H, DY, DU, DD, DA, DB, DC, T, E: tl.constexpr, N: tl.constexpr, BE: tl.constexpr):
    b = tl.program_id(0)
    e = tl.program_id(1) * BE + tl.arange(0, BE)
    n = tl.arange(0, N)
    a = tl.load(A + e[:, None] * N + n[None, :])
    g = tl.zeros([BE, N], tl.float32)   # gradient of h[t], from later times
    da = tl.zeros([BE, N], tl.float32)
    row = b.to(tl.int64) * T + T - 1
    h = tl.load(H + (row * E + e)[:, None] * N + n[None, :]).to(tl.float32)
    for i in range(T):
        u, d = tl.load(U + row * E + e).to(tl.float32), tl.load(Dt + row * E + e)
        bm, c = tl.load(Bm + row * N + n).to(tl.float32), tl.load(C + row * N + n).to(tl.float32)
        dy = tl.load(DY + row * E + e)
        has_before = i < T - 1
        before = tl.load(H + ((row - 1) * E + e)[:, None] * N + n[None, :], mask=(n[None, :] < N) & has_before, other=0).to(tl.float32)
        g += dy[:, None] * c[None, :]
        tl.atomic_add(DC + row * N + n, tl.sum(dy[:, None] * h, 0))
        tl.atomic_add(DB + row * N + n, tl.sum(g * (d * u)[:, None], 0))
        decay = tl.exp(d[:, None] * a)
        gb = tl.sum(g * bm[None, :], 1)
        tl.store(DU + row * E + e, gb * d)
        through = g * before * decay
        tl.store(DD + row * E + e, tl.sum(through * a, 1) + gb * u)
        da += through * d[:, None]
        g *= decay
        h = before
        row -= 1
    tl.atomic_add(DA + e[:, None] * N + n[None, :], da)


class Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u, d, a, b, c):
        u, d, b, c = u.contiguous(), d.contiguous(), b.contiguous(), c.contiguous()
        n_batch, n_time, n_inner = u.shape
        n_state = b.shape[2]
        y = torch.empty(u.shape, device=u.device, dtype=torch.float32)
        h = torch.empty((*u.shape, n_state), device=u.device, dtype=torch.bfloat16)
        scan_forward[(n_batch, n_inner // 32)](u, d, a, b, c, y, h, n_time, n_inner, n_state, 32, num_warps=2)
        ctx.save_for_backward(u, d, a, b, c, h)
        return y

    @staticmethod
    def backward(ctx, dy):
        u, d, a, b, c, h = ctx.saved_tensors
        du, dd = torch.empty_like(d), torch.empty_like(d)
        da, db, dc = torch.zeros_like(a), torch.zeros(b.shape, device=b.device), torch.zeros(c.shape, device=c.device)
        scan_backward[(u.shape[0], u.shape[2] // 32)](u, d, a, b, c, h, dy.contiguous().float(), du, dd, da, db, dc, u.shape[1],
                                                      u.shape[2], b.shape[2], 32, num_warps=2)
        return du.to(u.dtype), dd, da, db.to(b.dtype), dc.to(c.dtype)


def check_scan():
    torch.manual_seed(1)
    u, d = torch.randn(2, 9, 64, device=dev), torch.rand(2, 9, 64, device=dev)
    a, b, c = -torch.rand(64, N, device=dev) * 3, torch.randn(2, 9, N, device=dev), torch.randn(2, 9, N, device=dev)
    inputs = [x.requires_grad_() for x in (u, d, a, b, c)]
    h, ys = torch.zeros(2, 64, N, device=dev), []
    for t in range(9):
        h = torch.exp(d[:, t, :, None] * a) * h + (d * u)[:, t, :, None] * b[:, t, None, :]
        ys.append((h * c[:, t, None, :]).sum(-1))
    w = torch.randn(2, 9, 64, device=dev)
    wanted = torch.autograd.grad((torch.stack(ys, 1) * w).sum(), inputs)
    y = Scan.apply(*inputs)
    found = torch.autograd.grad((y * w).sum(), inputs)
    gaps = [((y - torch.stack(ys, 1)).abs().max() / y.abs().max()).item()]
    gaps += [((f - g).abs().max() / g.abs().max()).item() for f, g in zip(found, wanted)]
    print('scan against autograd', ['%.1e' % g for g in gaps], flush=True)
    assert gaps[0] < 1e-5 and max(gaps) < 2e-2  # the kept h are bfloat16
    torch.manual_seed(3)


# ---- stories of the teacher ---------------------------------------------------------------------------------------------
class Teacher:
    def __init__(self, folder, n_batch):
        w = {k: v.to(dev) for k, v in load_file(folder + '/model.safetensors').items()}
        self.w, self.n = w, n_batch
        self.conv = [w[f'backbone.layers.{i}.mixer.conv1d.weight'][:, 0].float() for i in range(10)]
        self.a = [-torch.exp(w[f'backbone.layers.{i}.mixer.A_log'].float()) for i in range(10)]

    def reset(self):
        self.tail = [torch.zeros(self.n, 3, 768, device=dev, dtype=torch.float16) for _ in range(10)]
        self.state = [torch.zeros(self.n, 512, 128, device=dev, dtype=torch.float16) for _ in range(10)]

    def norm(self, x, weight):
        return (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * weight.float()).half()

    def step(self, tokens):
        w = self.w
        x = w['backbone.embeddings.weight'][tokens].float()
        for i in range(10):
            p = f'backbone.layers.{i}.'
            m = p + 'mixer.'
            z, xbc, dt = (self.norm(x, w[p + 'norm.weight']) @ w[m + 'in_proj.weight'].T).split([512, 768, 8], -1)
            window = torch.cat([self.tail[i], xbc[:, None]], 1)
            self.tail[i] = window[:, 1:]
            xbc = F.silu(torch.einsum('bkc,ck->bc', window.float(), self.conv[i]) + w[m + 'conv1d.bias'].float())
            u, b, c = xbc.split([512, 128, 128], -1)
            dt = F.softplus(dt.float() + w[m + 'dt_bias'].float())
            decay = torch.exp(dt * self.a[i]).half().repeat_interleave(64, 1)
            s = self.state[i]
            s.mul_(decay[:, :, None]).addcmul_((u * dt.repeat_interleave(64, 1)).half()[:, :, None], b.half()[:, None, :])
            y = torch.bmm(s, c.half()[:, :, None])[:, :, 0].float() + u * w[m + 'D'].float().repeat_interleave(64)
            x = x + (self.norm(y * F.silu(z.float()), w[m + 'norm.weight']) @ w[m + 'out_proj.weight'].T).float()
        return (self.norm(x, w['backbone.norm_f.weight']) @ w['backbone.embeddings.weight'].T).float()


@torch.no_grad()
def generate(seconds):
    n = 6144
    teacher = Teacher(teacher_folder, n)
    temperature = torch.tensor([0.8, 0.9, 1.0], device=dev).repeat(n // 3)[:, None]
    rows, tops, weights = [], [], []
    start = time.time()
    while time.time() - start < seconds:
        teacher.reset()
        row = torch.zeros(n, T + 1, device=dev, dtype=torch.int16)
        top = torch.empty(n, T, TOP, device=dev, dtype=torch.int16)
        weight = torch.empty(n, T, TOP, device=dev, dtype=torch.float16)
        tokens = torch.zeros(n, device=dev, dtype=torch.long)  # the begin token
        for t in range(T):
            values, indices = teacher.step(tokens).topk(TOP, -1)
            top[:, t], weight[:, t] = indices.to(torch.int16), values.softmax(-1).half()
            p = (values / temperature).softmax(-1)
            p = p.masked_fill(p.cumsum(-1) - p > 0.95, 0)
            tokens = indices.gather(1, torch.multinomial(p, 1))[:, 0]
            row[:, t + 1] = tokens.to(torch.int16)
        rows.append(row), tops.append(top), weights.append(weight)
        print('generated', sum(r.numel() for r in rows), f'{time.time() - start:.1f}s', flush=True)
    return torch.cat(rows), torch.cat(tops), torch.cat(weights)


# ---- the model ------------------------------------------------------------------------------------------------------------
class RMS(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.in_proj = nn.Linear(D, 2 * E, bias=False)
        self.conv1d = nn.Conv1d(E, E, K, groups=E, padding=K - 1)
        self.x_proj = nn.Linear(E, R + 2 * N, bias=False)
        self.dt_proj = nn.Linear(R, E)
        self.out_proj = nn.Linear(E, D, bias=False)
        self.A_log = nn.Parameter(torch.log(torch.arange(1, N + 1).float()).repeat(E, 1))
        self.D = nn.Parameter(torch.ones(E))
        dt = torch.exp(torch.rand(E) * (math.log(.1) - math.log(.001)) + math.log(.001)).clamp(min=1e-4)
        with torch.no_grad():
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))
        nn.init.uniform_(self.dt_proj.weight, -R**-.5, R**-.5)
        nn.init.normal_(self.in_proj.weight, std=.02)
        nn.init.normal_(self.out_proj.weight, std=.02 / math.sqrt(2 * NL))

    def forward(self, x):
        u, z = self.in_proj(x).chunk(2, -1)
        u = F.silu(self.conv1d(u.transpose(1, 2))[..., :x.shape[1]].transpose(1, 2))
        r, b, c = self.x_proj(u).split([R, N, N], -1)
        d = F.softplus(F.linear(r, self.dt_proj.weight).float() + self.dt_proj.bias)
        y = Scan.apply(u, d, -torch.exp(self.A_log), b, c) + u.float() * self.D
        return self.out_proj((y * F.silu(z.float())).to(torch.bfloat16))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.mixer = RMS(D), Mixer()

    def forward(self, x):
        return x + self.mixer(self.norm(x).to(torch.bfloat16)).float()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.embeddings = nn.Embedding(V, D)
        nn.init.normal_(self.backbone.embeddings.weight, std=.02)
        self.backbone.layers = nn.ModuleList(Block() for _ in range(NL))
        self.backbone.norm_f = RMS(D)

    def forward(self, tokens):
        x = self.backbone.embeddings(tokens).float()
        for block in self.backbone.layers:
            x = block(x)
        return self.backbone.norm_f(x).to(torch.bfloat16) @ self.backbone.embeddings.weight.to(torch.bfloat16).T


def train(model, data, seconds, held_out):
    rows, tops, weights = data
    n_batch = 64
    no_decay = [p for k, p in model.named_parameters() if p.dim() < 2 or k.endswith('A_log')]
    decay = [p for k, p in model.named_parameters() if p.dim() >= 2 and not k.endswith('A_log')]
    optimizer = torch.optim.AdamW([dict(params=decay, weight_decay=.1), dict(params=no_decay, weight_decay=0)], lr=3e-3,
                                  betas=(.9, .95), fused=True)
    order, at, start, step = torch.randperm(rows.shape[0], device=dev), 0, time.time(), 0
    while (spent := time.time() - start) < seconds:
        part = spent / seconds
        rate = 3e-3 * min(1, (step + 1) / 100) * (1 if part < .4 else max(.02, 1 - (part - .4) / .6))
        for group in optimizer.param_groups:
            group['lr'] = rate
        if at + n_batch > rows.shape[0]:
            order, at = torch.randperm(rows.shape[0], device=dev), 0
        take = order[at:at + n_batch]
        at += n_batch
        with torch.autocast('cuda', dtype=torch.bfloat16):
            logits = model(rows[take, :-1].long())
        # cross-entropy with the teacher's distribution, cut to its most probable tokens
        picked = F.log_softmax(logits.float(), -1).gather(-1, tops[take].long())
        loss = -(picked * weights[take].float()).sum(-1).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % 200 == 0:
            print(step, 'loss %.4f' % loss.item(), f'{spent:.0f}s tok/s {step * n_batch * T / (time.time() - start):.0f}',
                  'held out %.4f' % loss_of(model, held_out) if step % 1000 == 0 else '', flush=True)
    print('steps', step, 'tokens', step * n_batch * T, 'passes over the data %.2f' % (step * n_batch / rows.shape[0]))


@torch.inference_mode()
def loss_of(model, tokens):
    windows = torch.stack([tokens[512 * j:512 * j + 513] for j in range(8)])
    with torch.autocast('cuda', dtype=torch.bfloat16):
        logits = model(windows[:, :-1])
    return F.cross_entropy(logits.float().view(-1, V), windows[:, 1:].reshape(-1)).item()


# ---- files ------------------------------------------------------------------------------------------------------------------
def export(model):
    os.makedirs(out_folder, exist_ok=True)
    weights = {k: v.detach().to(torch.float16).cpu().contiguous() for k, v in model.state_dict().items()}
    save_file(weights, out_folder + '/model.safetensors', metadata={'format': 'pt'})
    config = dict(architectures=['MambaForCausalLM'], model_type='mamba', vocab_size=V, hidden_size=D, intermediate_size=E,
                  num_hidden_layers=NL, state_size=N, expand=2, conv_kernel=K, time_step_rank=R, use_conv_bias=True,
                  use_bias=False, hidden_act='silu', layer_norm_epsilon=1e-5, residual_in_fp32=True, tie_word_embeddings=True,
                  bos_token_id=0, eos_token_id=0, pad_token_id=0, torch_dtype='float16')
    json.dump(config, open(out_folder + '/config.json', 'w'), indent=1)
    return weights, config


@torch.inference_mode()
def reference(weights, config, prompts, held_out):
    from transformers import MambaConfig, MambaForCausalLM
    known = {k: v for k, v in config.items() if k not in ('architectures', 'model_type', 'torch_dtype')}
    model = MambaForCausalLM(MambaConfig(**known)).to(torch.float64)
    print('loaded', model.load_state_dict({k: v.double() for k, v in weights.items()}, strict=False))
    model.tie_weights()
    model.eval()
    out = {'val.tokens': held_out.to(torch.int32).cpu()}
    windows = torch.stack([held_out[512 * j:512 * j + 513] for j in range(8)]).cpu()
    start = time.time()
    logits = model(windows[:, :-1], use_cache=False).logits
    losses = [F.cross_entropy(logits[j], windows[j, 1:]).item() for j in range(8)]
    out['val.ce'] = torch.tensor(losses)
    print('held-out loss, float64:', sum(losses) / 8, f'{time.time() - start:.1f}s', flush=True)
    for i, ids in enumerate(prompts):
        ids = ids.long()[None]
        out[f'prompt{i}.ids'] = ids[0].to(torch.int32)
        for j in range(65):
            logits = model(ids, use_cache=False).logits
            if j == 0:
                out[f'prompt{i}.logits'] = logits[0].float().contiguous()
            if j == 64:
                break
            top = logits[0, -1].topk(2).values
            out.setdefault(f'prompt{i}.margin', []).append((top[0] - top[1]).item())
            ids = torch.cat([ids, logits[:, -1:].argmax(-1)], 1)
        out[f'prompt{i}.greedy'] = ids[0].to(torch.int32)
        print(i, 'smallest margin', min(out.pop(f'prompt{i}.margin')), f'{time.time() - start:.1f}s', flush=True)
    save_file(out, out_folder + '/golden.safetensors')
    return out


check_scan()
golden = load_file(teacher_folder + '/golden.safetensors')
held_out = golden['val.tokens'].long().to(dev)
data = generate(generate_seconds)
model = Model().to(dev)
print('parameters', sum(p.numel() for p in model.parameters()) / 1e6, flush=True)
train(model, data, train_seconds, held_out)
print('held-out loss, bfloat16:', loss_of(model, held_out), flush=True)
weights, config = export(model)
shutil.copy(teacher_folder + '/tokenizer.json', out_folder)
out = reference(weights, config, [golden[f'prompt{i}.ids'] for i in range(4)], held_out)
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(out_folder + '/tokenizer.json')
for i in range(4):
    print(i, repr(tokenizer.decode(out[f'prompt{i}.greedy'].tolist()))[:400])
