// A decoder that is held still and adapted to other text, from its own checkpoint.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/train/checkpoint.h"
#include "gatewright/train/trainer.h"
#include "tests/runs/checked.h"

namespace gw::test::adapted_decoder_runs {

constexpr const char* kBody = R"(
title = "a decoder of one text, adapted to another"
[defaults]
task = { part = "next_token" }
data = { part = "bytes", context = 32, files = ["constitution.txt"] }
network = { part = "decoder", width = 16, depth = 1, heads = 2 }
objective = { part = "natural" }
optimizer = { part = "adamw", weight_decay = 0.1 }
schedule = { lr = 3e-3 }
batch = 16
epochs = 1
validation = 0.2
[sizes.tiny]
seeds = [0]
[arms.base]
[arms.adapted]
from = "base"
[arms.adapted.config]
data = { files = ["declaration.txt"] }
start = { copies = true }
network = { adapters = { experts = 3, gate = "adamole", policy = "adamole", bank = { part = "lora", rank = 2 }, balancers = ["switch_loss"] } }
)";

TEST(AdaptedDecoderRun, TrainsTheAdaptersAndNothingElse) {
  const Scratch scratch;
  const auto outcome = check_in(scratch, kBody);
  ASSERT_TRUE(outcome.failed.empty());
  const auto base = load_checkpoint(scratch / ("out/base-seed0/" + std::string(kBestCheckpoint)));
  const auto adapted = load_checkpoint(scratch / ("out/adapted-seed0/" + std::string(kLastCheckpoint)));
  size_t same = 0, moved = 0;
  for (const auto& [name, tensor] : adapted.tensors) {
    if (name.rfind("model/", 0) != 0) continue;
    if (name.find("adapters") == std::string::npos) {
      EXPECT_TRUE(tensor.equal(base.tensors.at(name))) << name;
      ++same;
    } else if (name.find(".bank.up") != std::string::npos && tensor.abs().max().item<double>() > 0) {
      ++moved;
    }
  }
  EXPECT_EQ(moved, 7);  // attention's four matrices and the perceptron's three
  EXPECT_GT(same, 8);
  const auto& metrics = outcome.results.at(1).metrics;
  EXPECT_GT(metrics.at("experts_per_token"), 0.0);
  EXPECT_LT(metrics.at("experts_per_token"), 3.0);
}

}  // namespace gw::test::adapted_decoder_runs
