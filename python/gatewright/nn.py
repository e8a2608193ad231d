"""Mixture layers and routers as modules of torch.

Gates, policies and balancers are those of the catalogues that recipes name, with the same options:
`gatewright.nn.parts("policies")` lists them, docs/routers.md explains them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatewright import ops
from gatewright._plan import Held, Plan, Scores

Choice = str | Mapping[str, Any]  # a part's name, or a table with its name under "part" beside its options


def parts(catalogue: str) -> list[dict[str, Any]]:
    """The parts of "gates", "policies" or "balancers": names, summaries, sources, options with ranges."""
    return json.loads(torch.ops.gatewright.catalogue(catalogue))


def _table(choice: Choice, **more: Any) -> dict[str, Any]:
    table = {"part": choice} if isinstance(choice, str) else dict(choice)
    return {**table, **{name: value for name, value in more.items() if name not in table}}


def _balancers(given: Choice | Sequence[Choice] | Mapping[str, float]) -> list[dict[str, Any]]:
    """Names, tables, or {name: coefficient}."""
    if isinstance(given, Mapping) and "part" not in given:
        return [{"part": name, "coefficient": float(value)} for name, value in given.items()]
    return [_table(one) for one in ([given] if isinstance(given, (str, Mapping)) else given)]


class Router(nn.Module):
    """Gate → policy → plan, with the balancers' losses.

    Options of the parts are keywords of their tables: Router(64, 8, policy={"part": "softmax_top_k",
    "k": 2}, balancers={"switch_loss": 0.01}). The gate's weights stay in f32 (f64 in a layer of f64),
    whatever the layer's type, as do scores and selection biases. Errors: ValueError with the near
    miss for unknown parts and options, as recipes give it.
    """

    _tap: Any = None  # sees every plan and may force routes: gatewright.routes

    def __init__(
        self,
        width: int,
        experts: int,
        *,
        gate: Choice = "linear",
        policy: Choice = "softmax_top_k",
        balancers: Choice | Sequence[Choice] | Mapping[str, float] = (),
        seed: int | None = None,
    ):
        super().__init__()
        seed = int(torch.randint(2**31, ())) if seed is None else seed
        self.options = {
            "width": width,
            "experts": experts,
            "gate": _table(gate),
            "policy": _table(policy),
            "balancers": _balancers(balancers),
            "seed": seed,
        }
        self._make()
        for name, tensor in self._native.parameters().items():
            self.register_parameter(name.replace(".", "__"), nn.Parameter(tensor.detach().clone()))
        for name, tensor in self._native.buffers().items():
            self.register_buffer(name.replace(".", "__"), tensor.detach().clone())

    def _make(self) -> None:
        self._held = Held(torch.classes.gatewright.Router(json.dumps(self.options)))

    @property
    def _native(self):
        return self._held.router

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_held", "_tap")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._make()

    def _apply(self, fn, recurse: bool = True):
        """A router keeps its precision: among near scores, 8 bits would choose by rounding."""

        def kept(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return tensor.to(moved.device) if moved.dtype in (torch.bfloat16, torch.float16) else moved

        return super()._apply(kept, recurse)

    def lend(self) -> None:
        """Hands the present parameters and buffers to the catalogue's parts: storage, not copies."""
        items = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        self._native.lend({name.replace("__", "."): tensor.detach() for name, tensor in items.items()})

    def scores(self, x: Tensor, **facts: Tensor) -> Tensor:
        """What the gate makes of x [T, width] (images for gates that take them)."""
        if self.options["gate"]["part"] == "linear" and x.dim() == 2:
            with torch.autocast(x.device.type, enabled=False):
                return F.linear(x.to(self.weight.dtype), self.weight, getattr(self, "bias", None))
        return Scores.apply(self, facts, x, *self.parameters())

    def forward(self, x: Tensor, **facts: Tensor) -> Plan:
        """The plan of x [T, width]. `facts`: token_id, task, sequence, position, route, where parts
        need them."""
        return self.plan(self.scores(x, **facts), **facts)

    def plan(self, scores: Tensor, **facts: Tensor) -> Plan:
        """The plan of scores [T, E]. Draws, where the policy draws, come from torch's generator."""
        again = torch._C._current_graph_task_id() != -1  # a checkpoint computes the pass a second time
        tap = self._tap
        if tap is not None:
            facts = tap.force(self, scores, facts, again)
        self.lend()
        seed = int(torch.randint(2**62, ()))
        offsets, token, weight, named = self._native.decide(scores, self.training, again, seed, facts)
        losses = {n.removeprefix("aux."): t for n, t in named.items() if n.startswith("aux.")}
        plan = Plan(
            offsets, token, weight, losses, *(named.get(n) for n in ("bypass", "dispatch", "combine"))
        )
        if tap is not None and not again:
            tap.see(self, scores, plan)
        return plan

    def end_step(self) -> None:
        """After an optimiser step: controllers (selection bias, adaptive coefficients) see its plans."""
        self.lend()
        self._native.end_step()

    def extra_repr(self) -> str:
        o = self.options
        return ", ".join(f"{name}={o[name]}" for name in ("width", "experts", "gate", "policy", "balancers"))


class Experts(nn.Module):
    """Stacks of gated or plain feed-forward experts under the names that transformers gives them."""

    def __init__(
        self, experts: int, hidden: int, expert_hidden: int, activation: str, gated: bool, bias: bool
    ):
        super().__init__()
        self.num_experts, self.activation, self.has_gate = experts, activation, gated
        wide = 2 * expert_hidden if gated else expert_hidden
        self.first_name = "gate_up_proj" if gated else "up_proj"
        self.register_parameter(self.first_name, nn.Parameter(torch.empty(experts, wide, hidden)))
        self.down_proj = nn.Parameter(torch.empty(experts, hidden, expert_hidden))
        self.register_parameter(
            f"{self.first_name}_bias", nn.Parameter(torch.zeros(experts, wide)) if bias else None
        )
        self.down_proj_bias = nn.Parameter(torch.zeros(experts, hidden)) if bias else None
        self.quantised: ops.QuantisedExperts | None = None
        nn.init.normal_(getattr(self, self.first_name), std=hidden**-0.5)
        nn.init.normal_(self.down_proj, std=expert_hidden**-0.5)

    def forward(self, x: Tensor, index: Tensor, weight: Tensor, token: Tensor | None = None) -> Tensor:
        """x [T, D], index and weight [R, K] → [T, D]; `token` as in ops.experts_ffn."""
        if self.quantised is not None:
            if token is not None:
                raise ValueError(
                    "gatewright.nn.Experts: expected a policy of k experts per token for quantised experts"
                )
            return ops.experts_ffn_quantised(x, index, weight, self.quantised, activation=self.activation)
        return ops.experts_ffn(
            x,
            index,
            weight,
            getattr(self, self.first_name),
            self.down_proj,
            getattr(self, f"{self.first_name}_bias"),
            self.down_proj_bias,
            activation=self.activation,
            layout="cat" if self.has_gate else "up",
            token=token,
        )


class MoE(nn.Module):
    """A mixture layer in the place of a feed-forward block: y = moe(x), any leading dimensions, one tensor.

    hidden: D of the tokens; expert_hidden: H of each expert; policy, gate and balancers as in Router,
    `k` for policies that take it; activation: a name of docs/activations.md; gated: f(gate)·up, or
    f(up) alone; shared_hidden: one expert that sees every token.

    Parameters: gate.weight [E, D], experts.gate_up_proj [E, 2H, D], experts.down_proj [E, D, H] and
    shared_expert.*, the names of transformers. After a pass `last_plan` has the routes, without
    gradient, and aux_loss() the balance losses, to be added to the task's. Call end_step() after the
    optimiser where a balancer controls (bias_update). torch.compile and torch.export want the policy
    softmax_top_k and refuse others; losses and last_plan are not made inside one.

    gate may also be a module of your own that is the whole router: gate(x [T, hidden]) → index [T, K]
    int64 and weight [T, K], and a dict of losses if it has some; ids of `experts` or more stand for
    nobody. The program does not know such a router (docs/python.md).
    """

    def __init__(
        self,
        hidden: int,
        expert_hidden: int,
        experts: int,
        k: int | None = None,
        *,
        policy: Choice = "softmax_top_k",
        gate: Choice | nn.Module = "linear",
        balancers: Choice | Sequence[Choice] | Mapping[str, float] = (),
        activation: str = "silu",
        gated: bool = True,
        bias: bool = False,
        shared_hidden: int = 0,
        seed: int | None = None,
    ):
        super().__init__()
        if isinstance(gate, nn.Module):
            if k is not None or policy != "softmax_top_k" or balancers:
                raise ValueError(
                    "gatewright.nn.MoE: expected a gate of your own alone, which chooses, weighs and "
                    "balances, got k, "
                    "policy or balancers beside it"
                )
            self.gate = gate
        else:
            chosen = _table(policy, **({} if k is None else {"k": k}))
            self.gate = Router(hidden, experts, gate=gate, policy=chosen, balancers=balancers, seed=seed)
        self.experts = Experts(experts, hidden, expert_hidden, activation, gated, bias)
        self.shared_expert = (
            Experts(1, hidden, shared_hidden, activation, gated, bias) if shared_hidden else None
        )
        self.last_plan: Plan | None = None
        self._losses: dict[str, Tensor] = {}

    def forward(self, x: Tensor, **facts: Tensor) -> Tensor:
        """x [..., hidden] → the same shape and type. `facts` as Router.forward."""
        flat = x.reshape(-1, x.size(-1))
        if not isinstance(self.gate, Router):
            y = self._own(flat, facts)
        else:
            y = self._traced(flat) if torch.compiler.is_compiling() else self._planned(flat, facts)
        if self.shared_expert is not None:
            everyone = flat.new_zeros((flat.size(0), 1), dtype=torch.int64)
            y = y + self.shared_expert(flat, everyone, flat.new_ones(flat.size(0), 1))
        return y if y.shape == x.shape else y.view(x.shape)

    def _own(self, flat: Tensor, facts: dict[str, Tensor]) -> Tensor:
        """By a router of the caller's."""
        index, weight, *rest = self.gate(flat, **facts)
        if not torch.compiler.is_compiling() and torch._C._current_graph_task_id() == -1:
            self._losses = dict(rest[0]) if rest else {}
            rows = ops.route_plan(index, self.experts.num_experts)
            kept = int(rows.offsets[-1])
            slot = rows.slot[:kept]
            self.last_plan = Plan(rows.offsets, rows.token[:kept], weight.detach().reshape(-1)[slot], {})
        return self.experts(flat, index, weight)

    def _planned(self, flat: Tensor, facts: dict[str, Tensor]) -> Tensor:
        plan = self.gate(flat, **facts)
        if torch._C._current_graph_task_id() == -1:
            self._losses = plan.losses
            self.last_plan = Plan(plan.offsets, plan.token, plan.weight.detach(), {})
        if self.experts.quantised is not None and plan.dispatch is None:
            return self._by_slot(flat, plan)
        rows, token = flat, plan.token
        if plan.dispatch is not None:
            rows, token = plan.dispatch.to(flat.dtype) @ flat, torch.arange(len(plan.token))
        index = torch.repeat_interleave(torch.arange(len(plan.offsets) - 1), plan.counts())
        y = self.experts(rows, index[:, None], plan.weight[:, None], token)
        if plan.combine is not None:
            y = plan.combine.to(y.dtype) @ y
        return y if plan.bypass is None else y + plan.bypass[:, None].to(y.dtype) * flat

    def _by_slot(self, flat: Tensor, plan: Plan) -> Tensor:
        """The plan as ids [T, K], those past the last expert where a token has fewer."""
        experts = len(plan.offsets) - 1
        index = torch.repeat_interleave(torch.arange(experts), plan.counts())
        order = plan.token.argsort(stable=True)
        count = torch.bincount(plan.token, minlength=len(flat))
        place = torch.arange(len(order)) - (count.cumsum(0) - count)[plan.token[order]]
        shape = (len(flat), int(count.max()) if len(order) else 1)
        ids = torch.full(shape, experts).index_put((plan.token[order], place), index[order])
        weight = plan.weight.new_zeros(shape).index_put((plan.token[order], place), plan.weight[order])
        return self.experts(flat, ids, weight)

    def _traced(self, flat: Tensor) -> Tensor:
        policy = self.gate.options["policy"]
        if self.gate._tap is not None:
            raise ValueError(
                "gatewright.nn.MoE: expected an eager model while routes are recorded or replayed, got "
                "torch.compile or torch.export; record before compiling"
            )
        if policy["part"] != "softmax_top_k" or set(policy) - {"part", "k", "renormalise"}:
            raise ValueError(
                "gatewright.nn.MoE: expected the policy softmax_top_k with k and renormalise alone under "
                f"torch.compile or torch.export, got {policy}"
            )
        chosen = ops.top_k(
            self.gate.scores(flat), policy.get("k", 1), "softmax", policy.get("renormalise", False)
        )
        return self.experts(flat, chosen.expert, chosen.weight)

    def aux_loss(self) -> Tensor:
        """The sum of the balancers' losses of the last pass; zero without balancers."""
        zero = torch.zeros((), dtype=torch.float32, device=self.experts.down_proj.device)
        return sum(self._losses.values(), zero)

    def losses(self) -> dict[str, Tensor]:
        """The same by balancer."""
        return dict(self._losses)

    def end_step(self) -> None:
        """After an optimiser step, for controllers."""
        if hasattr(self.gate, "end_step"):
            self.gate.end_step()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "last_plan": None, "_losses": {}}


def aux_loss(model: nn.Module) -> Tensor:
    """The sum of aux_loss() over all mixture layers of a model."""
    return sum((m.aux_loss() for m in model.modules() if isinstance(m, MoE)), torch.zeros(()))


def end_step(model: nn.Module) -> None:
    """end_step() of all mixture layers and routers of a model."""
    for module in model.modules():
        if isinstance(module, Router):
            module.end_step()


def freeze(model: nn.Module) -> nn.Module:
    """No gradients for the experts' stacks: nothing is kept for them, nothing is computed. Returns
    the model."""
    for module in model.modules():
        if isinstance(module, Experts):
            module.requires_grad_(False)
    return model


def quantise(model: nn.Module, bits: int = 8, group: int = 0) -> dict[str, int]:
    """Experts in 8 or 4 bits, for inference. Returns bytes before and after. Training again:
    unquantise(model)."""
    before = after = 0
    for module in model.modules():
        if isinstance(module, Experts) and module.num_experts > 1:
            stacks = getattr(module, module.first_name), module.down_proj
            biases = getattr(module, f"{module.first_name}_bias"), module.down_proj_bias
            layout = "cat" if module.has_gate else "up"
            with torch.no_grad():
                module.quantised = ops.quantise_experts(
                    *stacks, *biases, layout=layout, bits=bits, group=group
                )
            before += sum(t.numel() * t.element_size() for t in stacks)
            after += module.quantised.bytes()
    return {"before": before, "after": after}


def unquantise(model: nn.Module) -> None:
    """Back to the parameters, which quantise() leaves as they were."""
    for module in model.modules():
        if isinstance(module, Experts):
            module.quantised = None
