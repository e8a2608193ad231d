#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "gatewright/language/upcycle.h"
#include "gatewright/models/safetensors.h"

namespace gw::test::upcycle_cases {

const std::string kGolden = std::string(GW_SOURCE_ROOT) + "tests/language/golden/";

TEST(Upcycle, IsTheSameFunction) {
  const auto dense = load_language_model(kGolden + "mistral");
  const auto expected = load_safetensors(kGolden + "mistral/expected.safetensors");
  const auto& ids = expected.tensor("ids");
  for (const int64_t experts : {1, 4, 8}) {
    const auto sparse = upcycled(dense, {experts, std::min<int64_t>(2, experts), 3, 0.5});
    const auto answer = sparse.decoder->forward({ids, {ids.size(0)}});
    EXPECT_LE((answer.logits - expected.tensor("logits")).abs().max().item<double>(), 1e-4) << experts;
    ASSERT_EQ(answer.plans.size(), 2);
    EXPECT_EQ(answer.plans[0].plan.experts(), experts);
  }
  // The routers do choose: with eight experts not every token takes the same two.
  const auto plan = upcycled(dense, {8, 2, 3, 0.5}).decoder->forward({ids, {ids.size(0)}}).plans[0].plan;
  int64_t used = 0;
  for (int64_t e = 0; e < 8; ++e) used += plan.rows_of(e) > 0 ? 1 : 0;
  EXPECT_GT(used, 2);
}

TEST(Upcycle, RefusesWhatItCannotKeep) {
  EXPECT_THROW(upcycled(load_language_model(kGolden + "mixtral"), {}), ValueError);
  EXPECT_THROW(upcycled(load_language_model(kGolden + "qwen2"), {}), ValueError);
  EXPECT_THROW(upcycled(load_language_model(kGolden + "mistral"), {2, 3}), ValueError);
  EXPECT_THROW(upcycled(load_language_model(kGolden + "mistral", {"int8"}), {}), ValueError);
}

}  // namespace gw::test::upcycle_cases
