// A checkpoint in the published code's names, converted by tools/convert_advmoe.py, answers as plain PyTorch
// does.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/train/checkpoint.h"
#include "gatewright/train/trainer.h"

namespace gw::test::published_checkpoint_cases {

std::string golden(const std::string& name) {
  return std::string(GW_SOURCE_ROOT) + "tests/train/golden/advmoe_" + name + ".safetensors";
}

TEST(PublishedCheckpoint, ConvertedAnswersAsPlainPyTorchDoes) {
  const auto file = gw::load_checkpoint(golden("checkpoint"));
  const auto wanted = gw::tensors_under(gw::load_checkpoint(golden("answers")), "model/");
  const auto config = gw::read_config("the converted checkpoint", gw::checkpoint_config(file, "golden"));
  EXPECT_EQ(config.arm, "adv_moe");
  gw::TaskData data;
  data.classes = 10;
  data.train = data.test =
      gw::labelled_images(at::zeros({1, 3, 16, 16}, at::kByte), at::zeros({1}, at::kLong));
  const auto network = gw::make_network(config, data);
  EXPECT_EQ(network->shape().experts, 3);
  gw::load_model(*network, file, golden("checkpoint"));
  network->eval();
  const at::NoGradGuard no_grad;
  const auto out = network->forward(wanted.at("images"));
  EXPECT_TRUE(out.scores.argmax(1).equal(wanted.at("scores").argmax(1)));
  EXPECT_LT((out.scores - wanted.at("scores")).abs().max().item<double>(), 1e-3);
  EXPECT_LT((out.logits - wanted.at("logits")).abs().max().item<double>(), 1e-4);
  EXPECT_TRUE(wanted.at("scores").argmax(1).equal(at::tensor({0, 0, 1, 0, 1, 2}, at::kLong)));
}

}  // namespace gw::test::published_checkpoint_cases
