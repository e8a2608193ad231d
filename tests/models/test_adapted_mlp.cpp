// A perceptron that is held still and corrected: what is trained, what is not, and that nothing changes
// before it is.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/models/model.h"
#include "tests/support/refusal.h"

namespace gw::test::adapted_mlp_cases {

std::shared_ptr<Model> perceptron(const Json& adapters, uint64_t seed = 5) {
  DataSpec data;
  data.inputs = 6, data.domains = 3;
  return make_part<Model>("adapted_mlp", {{"width", 8}, {"layers", 2}, {"adapters", adapters}},
                          {data, {4, false}, seed});
}

const Json kAdapters{{"experts", 3},
                     {"gate", "adamole"},
                     {"policy", "adamole"},
                     {"bank", {{"part", "lora"}, {"rank", 2}}},
                     {"balancers", {"switch_loss"}}};

/// Everything of `from` that `to` has under the same name.
void copy_shared(Model& from, Model& to) {
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> found;
  for (const auto& item : from.named_parameters()) found[item.key()] = item.value();
  int64_t copied = 0;
  for (const auto& item : to.named_buffers()) {
    const auto it = found.find(item.key());
    if (it != found.end()) item.value().copy_(it->second), ++copied;
  }
  ASSERT_EQ(copied, static_cast<int64_t>(found.size())) << "base and frozen layers have the same names";
}

TEST(AdaptedMlp, AnswersAsTheFrozenLayersUntilItsFirstUpdate) {
  const auto base = perceptron(Json::object()), adapted = perceptron(kAdapters, 9);
  copy_shared(*base, *adapted);
  const auto batch = base->example(50, Rng(1));
  Pass pass;
  const auto expected = base->answer(batch, pass).answer, got = adapted->answer(batch, pass).answer;
  EXPECT_TRUE(got.equal(expected));
  EXPECT_FALSE(base->routed());
  EXPECT_TRUE(adapted->routed());
}

TEST(AdaptedMlp, TrainsAdaptersAndRoutersAlone) {
  const auto adapted = perceptron(kAdapters);
  const auto batch = adapted->example(50, Rng(1));
  Pass pass;
  const auto out = adapted->answer(batch, pass);
  ASSERT_EQ(out.plans.size(), 3u) << "two hidden layers and the head";
  EXPECT_EQ(out.plans.back().site, "head");
  out.answer.square().sum().backward();
  for (const auto& item : adapted->named_parameters()) {
    EXPECT_NE(item.key().find("adapters"), std::string::npos) << item.key();
    // Gradients of "down" are zero while "up" is: those of "up" must not be.
    if (item.key().find("bank.up") != std::string::npos) {
      EXPECT_GT(item.value().grad().abs().sum().item<double>(), 0) << item.key();
    }
  }
  for (const auto& item : adapted->named_buffers()) {
    if (item.key().find("adapters") == std::string::npos) {
      EXPECT_FALSE(item.value().requires_grad()) << item.key();
    }
  }
}

TEST(AdaptedMlp, RefusesSizesOfItsAdapters) {
  const auto text = refusal<ValueError>([] { perceptron({{"in", 6}}); });
  EXPECT_NE(text.find("expected no \"in\" in \"adapters\""), std::string::npos) << text;
}

}  // namespace gw::test::adapted_mlp_cases
