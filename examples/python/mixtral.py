"""A tiny random Mixtral fine-tuned with our experts: first whole, then with LoRA on the stacks of experts."""

import torch
from peft import LoraConfig, get_peft_model
from transformers import MixtralConfig, MixtralForCausalLM

import gatewright.transformers

torch.manual_seed(0)
config = MixtralConfig(
    vocab_size=64,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    num_local_experts=4,
)
model = MixtralForCausalLM(config)
print(gatewright.transformers.enable(model))
text = torch.arange(256).view(4, 64) % 17


def train(model, steps):
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    for _ in range(steps):
        loss = model(text, labels=text).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    return float(loss.detach())


print(f"whole: loss {train(model, 12):.3f}")
stacks = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
adapted = get_peft_model(model, LoraConfig(r=4, target_modules=[], target_parameters=stacks))
before = train(adapted, 1)
after = train(adapted, 12)
print(f"adapters: loss {before:.3f} → {after:.3f}")
assert after < before
