// Arms that learn from another arm's answers, and experts that start as copies of its pathway.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "gatewright/base/file.h"
#include "gatewright/train/checkpoint.h"
#include "gatewright/train/start.h"
#include "tests/runs/checked.h"
#include "tests/support/refusal.h"
#include "tests/train/small_run.h"

namespace gw::test::teacher_cases {

constexpr const char* kBody = R"(
title = "teachers"
[defaults]
data = { part = "synthetic", classes = 3, height = 8, width = 8, train = 60, test = 24 }
network = { backbone = "small_cnn", backbone_options = { width = 4 }, ratio = 0.5 }
objective = { part = "trades", steps = 1 }
schedule = { lr = 0.05 }
epochs = 1
batch = 16
task = { part = "image_classification", validation_steps = 1 }
[sizes.tiny]
seeds = [0]
[arms.small]
[arms.taught]
from = "small"
[arms.taught.config]
teacher = { arm = "small" }
[arms.copied]
from = "small"
[arms.copied.config]
start = { copies = true }
schedule = { lr = 0.0 }
network = { experts = 2, ratio = 0.5, private = ["norms", "head"], gate = { part = "cnn", arch = "small", width = 2 } }
objective = { part = "adv_moe", router_target = "groups", groups = [[0], [1, 2]], expert_attack = "pathway", router_attack = "scores", steps = 1 }
)";

SafetensorsFile checkpoint(const Scratch& scratch, const std::string& run) {
  return load_checkpoint(scratch / ("out/" + run + "/best.safetensors"));
}

TEST(Copies, EveryExpertStartsAsThePathwayAndTheRouterAsDrawn) {
  const Scratch scratch;
  const auto outcome = check_in(scratch, kBody, {"copied"});
  ASSERT_TRUE(outcome.failed.empty());
  const auto source = checkpoint(scratch, "small-seed0"), copy = checkpoint(scratch, "copied-seed0");
  size_t repeated = 0, drawn = 0;
  for (const auto& [name, tensor] : copy.tensors) {
    if (name.rfind("model/", 0) != 0 || name.find("running") != std::string::npos ||
        name.find("batches") != std::string::npos)
      continue;
    const auto from = source.tensors.find(name);
    if (from == source.tensors.end()) {
      EXPECT_NE(name.find("router"), std::string::npos) << name;
      ++drawn;
    } else if (tensor.size(0) == from->second.size(0)) {
      EXPECT_TRUE(tensor.equal(from->second)) << name;
    } else {
      EXPECT_TRUE(tensor.equal(at::cat({from->second, from->second}, 0))) << name;
      ++repeated;
    }
  }
  EXPECT_GT(repeated, 4u);
  EXPECT_GT(drawn, 2u);
}

TEST(Copies, AreRefusedWhereNothingFits) {
  const Scratch scratch;
  const auto wider =
      std::string(kBody) + "[arms.small.config]\nnetwork = { backbone_options = { width = 3 } }\n";
  expect_part(refusal<ValueError>([&] { check_in(scratch, wider, {"copied"}); }), "of another shape");
}

TEST(Teachers, ArmsLearnFromTheArmThatTheyName) {
  const Scratch scratch;
  const auto outcome = check_in(scratch, kBody, {"taught"});
  ASSERT_TRUE(outcome.failed.empty());
  const auto recorded = read_json(scratch / "out/taught-seed0/recipe.json").at("teacher");
  EXPECT_EQ(recorded.at("crc32c"), checkpoint(scratch, "small-seed0").metadata.at("crc32c"));
  const auto stranger = std::string(kBody) +
                        "[arms.lost]\nfrom = \"small\"\n[arms.lost.config]\nteacher = { arm = \"smal\" }\n";
  expect_part(refusal<ValueError>([&] { check_in(scratch, stranger, {"lost"}); }),
              "expected the teacher \"smal\" of arm \"lost\"");
}

// Without an adversarial objective too: other answers are learned, and the same first loss is told of the
// labels.
TEST(Teachers, TheNaturalObjectiveListens) {
  const Scratch scratch;
  const auto natural =
      std::string(kBody) +
      "[arms.alone]\n[arms.alone.config]\nobjective = { part = \"natural\" }\ntask = { part = "
      "\"classification\" }\n"
      "[arms.listens]\nfrom = \"small\"\n[arms.listens.config]\nobjective = { part = "
      "\"natural\" }\ntask = { part = \"classification\" }\nteacher = { arm = \"small\" }\n";
  const auto outcome = check_in(scratch, natural, {"alone", "listens"});
  ASSERT_TRUE(outcome.failed.empty());
  const auto first = [&](const std::string& arm, const char* curve) {
    for (const auto& result : outcome.results)
      if (result.arm == arm) return result.curves.at(curve).y.front();
    return -1.0;
  };
  EXPECT_EQ(first("alone", "train.cross_entropy"), first("listens", "train.cross_entropy"));
  EXPECT_EQ(first("alone", "train.loss"), first("alone", "train.cross_entropy"));
  EXPECT_NE(first("listens", "train.loss"), first("listens", "train.cross_entropy"));
}

// (1 - w)·CE + w·τ²·KL, against the definition; the teacher's own answers cost nothing.
TEST(Teachers, TheLossIsTheDefinition) {
  const Scratch scratch;
  auto config = small_config(small_objective("natural"), 1);
  config.epochs = 1;
  Recording recording;
  Trainer trained(config);
  trained.run({scratch.path()}, recording);
  const auto data = load_data(config);
  Batch batch;
  batch.fields["image"] = data.test.at("image").slice(0, 0, 6).to(at::kFloat) / 255;
  batch.fields["label"] = data.test.at("label").slice(0, 0, 6);
  TeacherOptions options;
  options.checkpoint = scratch / "best.safetensors", options.weight = 0.75, options.temperature = 2;
  const Teacher teacher(options, data);
  const auto answers = trained.model().answer(batch, Pass{}).answer.detach();
  const auto logits = at::randn({6, 3});
  const auto p = at::softmax(answers / 2, 1);
  const auto kl = (p * (p.log() - at::softmax(logits / 2, 1).log())).sum(1).mean() * 4;
  const auto wanted = 0.25 * at::cross_entropy_loss(logits, batch.at("label")) + 0.75 * kl;
  EXPECT_NEAR(teacher.loss(batch, logits, batch.at("label")).item<double>(), wanted.item<double>(), 1e-5);
  options.weight = 1;
  EXPECT_NEAR(Teacher(options, data).loss(batch, answers, batch.at("label")).item<double>(), 0, 1e-6);
  options.crc32c = "12345678";
  expect_part(refusal<ValueError>([&] { Teacher t(options, data); }), "checksum 12345678");
}

}  // namespace gw::test::teacher_cases
