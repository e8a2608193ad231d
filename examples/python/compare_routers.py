"""Three routers on one recipe: trained and checked by the program, compared as a frame and on one page.

Needs the program `gatewright` (docs/python.md).
"""

import pathlib
import tempfile

import gatewright

folder = pathlib.Path(tempfile.mkdtemp())
routers = {
    "softmax": {"part": "softmax_top_k", "k": 2, "renormalise": True},
    "sigmoid": {"part": "sigmoid_top_k", "k": 2},
    "expert_choice": {"part": "expert_choice"},
}
runs = [
    gatewright.train(
        "iris",
        arm="mixture",
        out=folder / name,
        record_routes=True,
        overrides={"epochs": 10, "network.mixture.policy": policy, "network.mixture.balancers": []},
        progress=False,
    )
    for name, policy in routers.items()
]
for name, run in zip(routers, runs, strict=True):
    (layer,) = gatewright.inspect(run)["layers"]
    test = next(s for s in layer["stats"] if s["phase"] == "test")
    print(
        f"{name:14} accuracy {run.metrics['accuracy']:.3f}  rows {test['load']}  entropy "
        f"{test['entropy']:.3f}"
    )
page = gatewright.report(*runs, out=folder / "routers.html")
print("report:", page, page.stat().st_size > 10_000)
