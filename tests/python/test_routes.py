"""Recorded routes: the program's format to the byte, recording that changes nothing, replay to the bit."""

from __future__ import annotations

import copy
import json
import pathlib
import subprocess

import numpy as np
import pytest
import torch
from torch import nn

import gatewright
import program_help
from gatewright import _crc32c, _recording_reader
from gatewright import routes as routes_module
from gatewright._recording import Decision, Frame, Writer
from gatewright._recording_reader import Reader

TEST_VECTORS = {  # RFC 3720, appendix B.4
    bytes(32): 0x8A9136AA,
    b"\xff" * 32: 0x62A8AB43,
    bytes(range(32)): 0x46DD794E,
    bytes(reversed(range(32))): 0x113FDB5C,
    b"123456789": 0xE3069283,
    b"": 0,
}


def network(seed=0, policy="softmax_top_k", k=2, blocks=2, **more):
    torch.manual_seed(seed)
    layers = []
    for _ in range(blocks):
        layers += [
            gatewright.nn.MoE(hidden=8, expert_hidden=12, experts=5, k=k, policy=policy, seed=seed, **more),
            nn.Tanh(),
        ]
    return nn.Sequential(*layers)


def rows(seed=1, n=11):
    return torch.randn(n, 8, generator=torch.Generator().manual_seed(seed))


def test_checksum():
    for data, want in TEST_VECTORS.items():
        assert _crc32c.crc32c(data) == want
    table, generator = _crc32c._tables()[0], np.random.default_rng(0)
    for size in [*range(15, 140, 5), 1000, 4096, 9999]:
        data, value = generator.bytes(size), 0xFFFFFFFF
        for byte in data:
            value = (value >> 8) ^ int(table[(value ^ byte) & 0xFF])
        assert _crc32c.crc32c(data) == value ^ 0xFFFFFFFF, size


def random_decision(generator, experts, tokens, most, weights, scores, site="a"):
    expert, token = [], []
    for t in range(tokens):
        chosen = generator.permutation(experts)[: generator.integers(0, most + 1)]
        expert += chosen.tolist()
        token += [t] * len(chosen)
    order = np.lexsort((token, expert)) if expert else np.array([], int)
    expert, token = np.array(expert, np.int64)[order], np.array(token, np.int64)[order]
    weight = None if weights is None else generator.random(len(expert)).astype(weights)
    table = generator.normal(size=(tokens, experts)).astype(np.float32) if scores else None
    return Decision(site, experts, tokens, expert, token, weight, table)


@pytest.mark.parametrize(
    ("experts", "tokens", "most"), [(4, 9, 2), (300, 40, 300), (1, 5, 1), (64, 3, 8), (7, 0, 1)]
)
@pytest.mark.parametrize("weights", [None, np.float32, np.float64])
def test_what_is_written_is_read(tmp_path, experts, tokens, most, weights):
    generator = np.random.default_rng(experts)
    decisions = [
        random_decision(generator, experts, tokens, most, weights, s, f"s{s}") for s in (False, True, False)
    ]
    frame = Frame("validation", 3, 1, 2, np.arange(4), np.arange(4) * 1000, decisions)
    writer = Writer(tmp_path / "routes.bin", {"name": "ä"})
    writer.write(frame, weights=True, scores=True)
    writer.write(Frame(decisions=[decisions[0]]))
    writer.close()
    reader = Reader(tmp_path / "routes.bin")
    read, last = reader
    assert reader.about == {"name": "ä"} and reader.lost_bytes == 0
    assert (read.phase, read.step, read.epoch, read.batch) == ("validation", 3, 1, 2)
    assert read.index.tolist() == [0, 1000, 2000, 3000] and last.labels is None
    for got, want in zip(read.decisions, decisions, strict=True):
        assert (got.site, got.experts, got.tokens) == (want.site, want.experts, want.tokens)
        assert np.array_equal(got.expert, want.expert) and np.array_equal(got.token, want.token)
        if weights is None or not len(want.expert):
            assert got.weight is None or not len(got.weight)
        else:
            assert got.weight.dtype == weights and np.array_equal(got.weight, want.weight)
        assert (got.scores is None) == (want.scores is None)
        assert got.scores is None or np.array_equal(got.scores, want.scores)


def test_a_cut_or_damaged_file_is_read_up_to_there(tmp_path):
    model, path = network(), tmp_path / "routes.bin"
    with gatewright.record_routes(model, path):
        for seed in range(3):
            model(rows(seed))
    data, whole = path.read_bytes(), gatewright.read_routes(path)
    assert len(whole.batches) == 3
    for size in range(len(data) - 1, whole_header(data), -7):
        path.write_bytes(data[:size])
        cut = gatewright.read_routes(path)
        assert sum(len(b.decisions) for b in cut.batches) < 6
        assert cut.lost_bytes < 80
    changed = bytearray(data)
    changed[-20] ^= 1
    path.write_bytes(changed)
    assert gatewright.read_routes(path).lost_bytes > 0
    path.write_bytes(b"something else entirely, of some length")
    with pytest.raises(ValueError, match=r"routes\.bin.*got another beginning"):
        gatewright.read_routes(path)
    path.write_bytes(data[:8] + b"\x02" + data[9:])
    with pytest.raises(ValueError, match="expected version 1, got 2"):
        gatewright.read_routes(path)


def whole_header(data):
    head = _recording_reader._Bytes(data[12:])
    return 12 + head.varint() + head.at + 4


def test_recording_changes_nothing_and_says_what_was_decided(tmp_path):
    model, twin = network(balancers={"switch_loss": 0.1}), network(balancers={"switch_loss": 0.1})
    plans, outputs = [], []
    with gatewright.record_routes(model, tmp_path / "routes.bin", weights=True, scores=True) as recorder:
        for seed in range(3):
            outputs.append(model(rows(seed)))
            plans.append(model[0].last_plan)
        model.eval()
        model(rows(9))
        assert recorder.step == 3
    assert all(torch.equal(y, twin(rows(seed))) for seed, y in enumerate(outputs))
    assert model[0].gate._tap is None and not model._forward_hooks and not model._forward_pre_hooks
    recording = gatewright.read_routes(tmp_path / "routes.bin")
    assert recording.sites == [("0", 5), ("2", 5)]
    assert [(b.phase, b.step, b.batch) for b in recording.batches] == [
        ("train", 1, 0),
        ("train", 2, 0),
        ("train", 3, 0),
        ("inference", 3, 0),
    ]
    for plan, decision in zip(plans, recording.decisions("0", "train"), strict=True):
        assert np.array_equal(decision.token, plan.token.numpy())
        assert np.array_equal(decision.weight, plan.weight.numpy())
        assert np.array_equal(decision.load(), plan.counts().numpy())
    assert np.array_equal(recording.load("0", "train"), np.stack([p.counts().numpy() for p in plans]))
    scores = model[0].gate.scores(rows(9)).detach().numpy()
    assert np.array_equal(recording.decisions("0", "inference")[0].scores, scores)
    with pytest.raises(KeyError, match="'0', '2'"):
        recording.load("1")


def test_every_and_hand_made_batches(tmp_path):
    model = network()
    with gatewright.record_routes(model, tmp_path / "a.bin", every=3) as recorder:
        for seed in range(7):
            model(rows(seed))
        recorder.begin("test", 7, epoch=2, batch=0, labels=torch.arange(11))
        model[0](rows())
        recorder.end()
    batches = gatewright.read_routes(tmp_path / "a.bin").batches
    assert [(b.phase, b.step) for b in batches] == [("train", 1), ("train", 4), ("train", 7), ("test", 7)]
    assert batches[-1].labels.tolist() == list(range(11)) and len(batches[-1].decisions) == 1
    with (
        pytest.raises(ValueError, match="every of at least 1"),
        gatewright.record_routes(model, "x.bin", every=0),
    ):
        pass


def test_layers_without_their_model(tmp_path):
    model = network()
    with gatewright.record_routes(model, tmp_path / "a.bin", weights=True):
        want = [model[2](model[0](rows(seed))) for seed in (0, 1)]
    assert [[d.site for d in b.decisions] for b in gatewright.read_routes(tmp_path / "a.bin").batches] == [
        ["0", "2"]
    ] * 2
    with gatewright.replay(model, tmp_path / "a.bin"):
        assert all(torch.equal(model[2](model[0](rows(seed))), want[seed]) for seed in (0, 1))


@pytest.mark.parametrize("policy", ["softmax_top_k", "sigmoid_top_k", "expert_choice"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_replay_has_the_bits_of_the_recorded_pass(tmp_path, policy, checkpointing):
    """Breaks if replay weighs, orders or draws anything anew where the choice is the recorded one."""
    from torch.utils.checkpoint import checkpoint

    k = None if policy == "expert_choice" else 2

    def train(model):
        optimiser, outputs = torch.optim.SGD(model.parameters(), 0.01), []
        for seed in range(4):
            x = rows(seed)
            y = checkpoint(lambda v: model(v), x, use_reentrant=False) if checkpointing else model(x)
            y.square().sum().backward()
            optimiser.step()
            optimiser.zero_grad()
            outputs.append(y.detach())
        return outputs

    first, second = network(policy=policy, k=k), network(policy=policy, k=k)
    with gatewright.record_routes(first, tmp_path / "routes.bin"):
        want = train(first)
    with gatewright.replay(second, tmp_path / "routes.bin"):
        got = train(second)
    assert all(torch.equal(a, b) for a, b in zip(want, got, strict=True))
    assert all(torch.isfinite(y).all() for y in want)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_replay_forces_what_another_router_would_not_choose(tmp_path):
    model, other = network(seed=0), network(seed=5)
    with gatewright.record_routes(model, tmp_path / "routes.bin", weights=True):
        want = model(rows())
    recorded = gatewright.read_routes(tmp_path / "routes.bin").decisions("0")[0]
    other(rows())
    own = other[0].last_plan
    with gatewright.replay(other, tmp_path / "routes.bin"):
        other(rows()).sum().backward()
    forced = other[0].last_plan
    assert np.array_equal(forced.token.numpy(), recorded.token) and not torch.equal(forced.token, own.token)
    assert other[0].gate.weight.grad.abs().sum() > 0  # fresh weights: gradients reach the gate
    weights = torch.softmax(other[0].gate.scores(rows()), 1)
    assert torch.allclose(forced.weight, weights[recorded.token, recorded.expert], atol=1e-6)

    moved = copy.deepcopy(model)
    with torch.no_grad():
        moved[0].gate.weight.add_(torch.randn_like(moved[0].gate.weight))
        moved[2].gate.weight.add_(torch.randn_like(moved[2].gate.weight))
    assert not torch.equal(moved(rows()), want)
    with gatewright.replay(moved, tmp_path / "routes.bin", weights="recorded"):
        assert torch.equal(moved(rows()), want)


def test_replay_refuses_what_does_not_fit(tmp_path):
    model, path = network(), tmp_path / "routes.bin"
    with gatewright.record_routes(model, path):
        model(rows())
    with (
        gatewright.replay(model, path),
        pytest.raises(ValueError, match=r"'0' \(11 tokens, 5 experts\), got '0' \(4 t"),
    ):
        model(rows(n=4))
    with (
        gatewright.replay(model, path),
        pytest.raises(ValueError, match="no batch after train step 1 batch 0"),
    ):
        model(rows())
        model(rows())
    more = network(blocks=3)
    with gatewright.replay(more, path), pytest.raises(ValueError, match=r"no further decision .* got '4'"):
        more(rows())
    less = network(blocks=1)
    with gatewright.replay(less, path), pytest.raises(ValueError, match=r"expected 2 decisions at .*, got 1"):
        less(rows())
    with gatewright.replay(model, path, weights="recorded"), pytest.raises(ValueError, match="weights=True"):
        model(rows())
    with pytest.raises(ValueError, match="without one"), gatewright.record_routes(nn.Linear(2, 2), path):
        pass
    with (
        gatewright.record_routes(model, path),
        pytest.raises(ValueError, match="already"),
        gatewright.replay(model, path),
    ):
        pass


def test_a_pass_that_fails_is_no_batch_and_runs_are_not_overwritten(tmp_path):
    model = network()
    with gatewright.record_routes(model, tmp_path / "a.bin"):
        with pytest.raises(RuntimeError):
            nn.Sequential.forward(model, rows()[:, :3])
        model[1].forward = lambda x: 1 / 0
        with pytest.raises(ZeroDivisionError):
            model(rows())
        del model[1].forward
        model(rows())
    (batch,) = gatewright.read_routes(tmp_path / "a.bin").batches
    assert len(batch.decisions) == 2
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    with pytest.raises(ValueError, match="holds a run"), gatewright.record_routes(model, tmp_path / "run"):
        pass


def test_refused_inside_of_compiled_graphs(tmp_path):
    model = network(blocks=1)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    compiled(rows())
    with (
        gatewright.record_routes(model, tmp_path / "a.bin"),
        pytest.raises(Exception, match="expected an eager model"),
    ):
        compiled(rows())


# What the program makes of it.
def inspected(path):
    done = subprocess.run([program_help.built(), "inspect", path, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_program_reads_it(tmp_path):
    program_help.built()
    model = network()
    ids = torch.arange(11) % 3
    with gatewright.record_routes(model, tmp_path / "run", token_ids=lambda x: ids, about={"seed": 7}):
        for seed in range(3):
            model(rows(seed))
    recording, seen = gatewright.read_routes(tmp_path / "run"), inspected(tmp_path / "run")
    told = {layer["layer"]: layer for layer in seen["layers"]}
    assert set(told) == {"0", "2"}
    for name, layer in told.items():
        (stats,) = layer["stats"]
        assert stats["load"] == recording.load(name).sum(0).tolist() and stats["tokens"] == 33
        slices = [one["load"] for one in layer["load_over_time"]]
        assert slices == recording.load(name).tolist()
        affinity = np.zeros((5, 3), int)
        for d in recording.decisions(name):
            np.add.at(affinity, (d.expert, ids.numpy()[d.token]), 1)
        assert layer["affinity"]["train"]["clean"] == affinity.tolist()
    assert seen["about"]["seed"] == 7 and seen["recording"]["end"] == "whole"
    assert inspected(tmp_path / "run" / "routes.bin")["layers"] == seen["layers"]
    done = subprocess.run([program_help.built(), "report", tmp_path / "run"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Recorded routes" in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_the_programs_recording_is_written_again_byte_for_byte(tmp_path):
    program = program_help.built()
    words = ["train", "iris", "--arm", "mixture", "--record-routes", "--out", tmp_path / "run", "--quiet"]
    sets = ["epochs=2", "routes.weights=true", "routes.scores=true"]
    done = subprocess.run(
        [program, *words, *(w for s in sets for w in ("--set", s))], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    source = tmp_path / "run" / "routes.bin"
    reader = Reader(source)
    frames = list(reader)
    assert len(frames) > 2 and reader.sites
    writer = Writer(tmp_path / "again.bin", reader.about)
    for frame in frames:
        writer.write(frame, weights=True, scores=True)
    writer.close()
    assert (tmp_path / "again.bin").read_bytes() == source.read_bytes()
    assert {f.phase for f in frames} >= {"train", "test"} and frames[0].decisions[0].weight is not None


# Models of transformers.
def tokens(seed=0):
    return torch.randint(1, 60, (2, 7), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize("kind", ["mixtral", "olmoe", "qwen3_moe", "gpt_oss", "deepseek_v3"])
def test_models_of_transformers(tmp_path, kind, enabled):
    pytest.importorskip("transformers", minversion="5.0")
    import gatewright.transformers
    from tiny_models import tiny

    model = tiny(kind)
    if enabled:
        gatewright.transformers.enable(model)
    with torch.no_grad():
        plain = model(tokens()).logits
        with gatewright.record_routes(model, tmp_path / "routes.bin", token_ids=True, weights=True):
            want = model(input_ids=tokens()).logits
        assert torch.equal(plain, want)
        with gatewright.replay(model, tmp_path / "routes.bin"):
            assert torch.equal(model(tokens()).logits, want)
        recording = gatewright.read_routes(tmp_path / "routes.bin")
        (batch,) = recording.batches
        assert batch.labels.tolist() == tokens().reshape(-1).tolist()
        assert all(d.tokens == 14 and d.load().sum() == 28 and d.weight is not None for d in batch.decisions)
        routers = [
            m for n, m in model.named_modules() if n.endswith(("gate", "router")) and hasattr(m, "weight")
        ]
        for router in routers:
            router.weight.add_(torch.randn(router.weight.shape) * 0.3)
        moved = model(tokens()).logits
        assert not torch.allclose(moved, want, atol=1e-3)
        with (
            gatewright.replay(model, tmp_path / "routes.bin"),
            pytest.raises(ValueError, match="tokens with other exp"),
        ):
            model(tokens())
        with gatewright.replay(model, tmp_path / "routes.bin", weights="recorded"):
            forced = model(tokens()).logits
        assert torch.allclose(forced, want, atol=1e-5)
        if kind in ("mixtral", "olmoe") or enabled:
            assert torch.equal(forced, want)


@pytest.mark.parametrize("kind", ["mixtral", "olmoe", "qwen3_moe"])
def test_sums_over_forced_experts_are_in_the_recorded_order(tmp_path, kind):
    """Three experts a token: with two, any order has the same bits."""
    pytest.importorskip("transformers", minversion="5.0")
    from tiny_models import tiny

    model = tiny(kind, num_experts_per_tok=3)
    with torch.no_grad():
        with gatewright.record_routes(model, tmp_path / "routes.bin", weights=True):
            want = model(input_ids=tokens()).logits
        with gatewright.replay(model, tmp_path / "routes.bin", weights="recorded"):
            assert torch.equal(model(tokens()).logits, want)
        for name, router in model.named_modules():
            if name.endswith("gate"):
                router.weight.add_(torch.randn(router.weight.shape))
        with gatewright.replay(model, tmp_path / "routes.bin", weights="recorded"):
            assert torch.equal(model(tokens()).logits, want)


def test_trainer_callback(tmp_path):
    transformers = pytest.importorskip("transformers", minversion="5.0")
    pytest.importorskip("accelerate")
    from gatewright.transformers import RouteRecorderCallback
    from tiny_models import tiny

    data = [{"input_ids": tokens(s)[0], "labels": tokens(s)[0]} for s in range(16)]

    def train(folder, resume=None, stop=None, **more):
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path / folder),
            per_device_train_batch_size=2,
            gradient_accumulation_steps=2,
            num_train_epochs=1,
            save_steps=2,
            eval_strategy="steps",
            eval_steps=2,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            max_steps=4 if stop is None else stop,
            lr_scheduler_type="constant",
        )
        callback = RouteRecorderCallback(tmp_path / f"{folder}-routes", **more)
        trainer = transformers.Trainer(
            model=tiny("mixtral"),
            args=arguments,
            train_dataset=data,
            eval_dataset=data[:4],
            callbacks=[callback],
        )
        trainer.train(resume_from_checkpoint=resume)
        assert callback.recorder is None
        return tmp_path / f"{folder}-routes" / "routes.bin"

    whole = train("whole", token_ids=True)
    batches = gatewright.read_routes(whole).batches
    assert [(b.phase, b.step, b.batch) for b in batches if b.phase == "train"] == [
        ("train", s, b) for s in (1, 2, 3, 4) for b in (0, 1)
    ]
    assert {b.step for b in batches if b.phase == "validation"} == {2, 4}
    assert all(len(b.decisions) == 2 and len(b.labels) == b.decisions[0].tokens for b in batches)

    cut = train("cut", stop=2, token_ids=True)
    shorter = cut.read_bytes()
    assert whole.read_bytes().startswith(shorter[: whole_header(shorter)])
    with cut.open("ab") as file:
        file.write(b"\x03\x05 a record that a kill left")
    assert train("cut", resume=str(tmp_path / "cut" / "checkpoint-2"), token_ids=True) == cut
    assert cut.read_bytes() == whole.read_bytes()

    fewer = gatewright.read_routes(train("fewer", every=3)).batches
    assert {b.step for b in fewer if b.phase == "train"} == {1, 4} and fewer[0].labels is None


def lightning_events(callback, model, steps=2):
    """What Lightning's loops call, in their order."""
    trainer = type("Trainer", (), {"global_step": 0, "current_epoch": 0, "sanity_checking": True})()
    callback.on_validation_batch_start(trainer, model, rows(), 0)
    model(rows())
    callback.on_validation_batch_end(trainer, model, None, rows(), 0)
    trainer.sanity_checking = False
    for index in range(2 * steps):
        callback.on_train_batch_start(trainer, model, rows(index), index)
        model[0](rows(index))
        trainer.global_step += index % 2
        callback.on_train_batch_end(trainer, model, None, rows(index), index)
    callback.on_test_batch_start(trainer, model, rows(), 0)
    model(rows())
    callback.on_test_batch_end(trainer, model, None, rows(), 0)
    callback.teardown(trainer, model, "fit")


def test_lightning_events(tmp_path):
    from gatewright.lightning import RouteRecorderCallback

    callback = RouteRecorderCallback(
        tmp_path / "routes.bin", token_ids=lambda batch: torch.arange(len(batch))
    )
    lightning_events(callback, network())
    batches = gatewright.read_routes(tmp_path / "routes.bin").batches
    assert [(b.phase, b.step, b.batch) for b in batches] == [
        ("train", 1, 0),
        ("train", 1, 1),
        ("train", 2, 0),
        ("train", 2, 1),
        ("test", 2, 0),
    ]
    assert callback.recorder is None and batches[0].labels.tolist() == list(range(11))


def test_lightning(tmp_path):
    lightning = None
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            lightning = __import__(name, fromlist=["Trainer"])
        except ImportError:
            continue
    if lightning is None:
        pytest.skip("lightning is not installed")
    from gatewright.lightning import RouteRecorderCallback

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = network()

        def training_step(self, batch, index):
            return self.net(batch).square().sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    trainer = lightning.Trainer(
        max_epochs=1,
        callbacks=[RouteRecorderCallback(tmp_path / "routes.bin")],
        logger=False,
        enable_checkpointing=False,
        accelerator="cpu",
    )
    trainer.fit(Module(), torch.utils.data.DataLoader(torch.randn(12, 8), batch_size=4))
    assert [b.step for b in gatewright.read_routes(tmp_path / "routes.bin").batches] == [1, 2, 3]


def test_frames_of_pandas(tmp_path):
    pytest.importorskip("pandas")
    model = network()
    with gatewright.record_routes(
        model, tmp_path / "a.bin", weights=True, token_ids=lambda x: torch.arange(11)
    ):
        model(rows())
    frame = gatewright.read_routes(tmp_path / "a.bin").frame()
    assert len(frame) == 44 and (frame.label == frame.token).all()
    assert np.allclose(
        frame.groupby(["site", "token"]).weight.sum(), frame.groupby(["site", "token"]).weight.sum()
    )
    assert set(frame.columns) >= {"phase", "step", "site", "token", "expert", "weight"}


def test_ids_come_from_where_they_are_said_to(tmp_path):
    model = network()
    with (
        gatewright.record_routes(model, tmp_path / "a.bin", token_ids=True),
        pytest.raises(ValueError, match="input_ids"),
    ):
        model(rows())
    with pytest.raises(ValueError, match="one twice"):
        Decision.of_slots("x", 4, np.array([[1, 1]]))
    assert routes_module.__all__ and isinstance(tmp_path, pathlib.Path)
