# Makes reference_f64.safetensors: the four prompts' logits and greedy tokens, and the loss of the eight held-out windows, by Hugging
# Face transformers 5.17 in float64 on a CPU (PyTorch 2.11), stored as float32. Run in the model's folder.
# golden.safetensors holds the same prompts as the training run wrote them; its logits are off by up to 0.016 from these
# (largest logit 20.5), and prompt 3's greedy tokens differ from the 14th on, where two logits lie 6e-4 apart.
import json
import torch
from safetensors.torch import load_file, save_file
from transformers import Mamba2Config, Mamba2ForCausalLM

config = json.load(open('config.json'))
golden = load_file('golden.safetensors')
weights = load_file('model.safetensors')
known = {k: v for k, v in config.items() if k not in ('architectures', 'model_type', 'torch_dtype')}
model = Mamba2ForCausalLM(Mamba2Config(**known)).to(torch.float64)
model.load_state_dict({k: v.double() for k, v in weights.items()}, strict=False)
model.tie_weights()
model.eval()
out = {}
with torch.inference_mode():
    for i in range(4):
        ids = golden[f'prompt{i}.ids'].long()[None]
        out[f'prompt{i}.logits'] = model(ids, use_cache=False).logits[0].float().contiguous()
        for _ in range(64):
            ids = torch.cat([ids, model(ids, use_cache=False).logits[:, -1:].argmax(-1)], 1)
        out[f'prompt{i}.greedy'] = ids[0].to(torch.int32)
    tokens = golden['val.tokens'].long()
    losses = []
    for j in range(8):
        window = tokens[512 * j:512 * j + 513][None]
        logits = model(window[:, :-1], use_cache=False).logits[0]
        losses.append(torch.nn.functional.cross_entropy(logits, window[0, 1:]).item())
    out['val.ce'] = torch.tensor(losses)
save_file(out, 'reference_f64.safetensors')
