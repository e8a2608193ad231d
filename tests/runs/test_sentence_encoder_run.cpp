// Copies of a trained encoder's perceptrons: before they learn they are that encoder, in every measured
// number.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/train/checkpoint.h"
#include "gatewright/train/trainer.h"
#include "tests/runs/checked.h"

namespace gw::test::sentence_encoder_runs {

constexpr const char* kBody = R"(
title = "an encoder, and experts that are copies of it"
[defaults]
task = { part = "contrastive", within = "domain" }
data = { part = "text_pairs", context = 8, vocabulary = 512 }
network = { part = "sentence_encoder", width = 16, depth = 2, heads = 2, hidden = 16 }
objective = { part = "natural" }
optimizer = { part = "adam" }
schedule = { lr = 3e-3 }
batch = 32
epochs = 2
validation = 0.2
[sizes.tiny]
seeds = [0]
[arms.parent]
[arms.copies]
from = "parent"
[arms.copies.config]
start = { copies = true }
schedule = { lr = 0.0 }
network = { mixture = { experts = 2, policy = "given" } }
[arms.specialists]
from = "parent"
[arms.specialists.config]
start = { copies = true }
schedule = { lr = 0.0 }
network = { specialists = true }
[arms.trained]
from = "parent"
[arms.trained.config]
start = { copies = true }
network = { mixture = { experts = 2, policy = "given" } }
)";

double metric(const Scratch& scratch, const std::string& arm, const char* name) {
  return read_json(scratch / ("out/" + arm + "-seed0/metrics.json")).at("metrics").at(name).get<double>();
}

TEST(SentenceEncoderRun, CopiesStartAsTheirParent) {
  const Scratch scratch;
  const auto outcome = check_in(scratch, kBody);
  ASSERT_TRUE(outcome.failed.empty());
  for (const char* name : {"f1", "nearest", "similarity", "similarity_of_others", "f1_wrong_domain"}) {
    for (const char* arm : {"copies", "specialists"})
      EXPECT_EQ(metric(scratch, arm, name), metric(scratch, "parent", name)) << arm << " " << name;
  }
  EXPECT_NE(metric(scratch, "trained", "similarity"), metric(scratch, "parent", "similarity"));
  const auto parent = load_checkpoint(scratch / ("out/parent-seed0/" + std::string(kBestCheckpoint)));
  const auto copies = load_checkpoint(scratch / ("out/copies-seed0/" + std::string(kLastCheckpoint)));
  const auto& one = parent.tensors.at("model/encoder.layer1.dense.w2");
  const auto& all = copies.tensors.at("model/encoder.layer1.mixture.bank.w2");
  ASSERT_EQ(all.size(0), 2);
  for (int64_t e = 0; e < 2; ++e) EXPECT_TRUE(at::equal(all[e], one[0])) << e;
}

}  // namespace gw::test::sentence_encoder_runs
