// Rows of several tasks through one table network: a head for each domain.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/models/model.h"
#include "tests/support/refusal.h"

namespace gw::test::tabular_heads_cases {

std::shared_ptr<Model> table(int64_t domains, const Json& options) {
  DataSpec data;
  data.inputs = 5, data.domains = domains;
  return make_part<Model>("tabular", options, {data, {2, false}, 4});
}

const Json kMixture{{"experts", 3}, {"gate", {{"part", "task_aware"}, {"tasks", 4}}}};

TEST(TabularHeads, ARowMeetsTheHeadOfItsDomain) {
  const auto model = table(4, {{"heads", "domain"}, {"mixture", kMixture}});
  model->eval();
  auto batch = model->example(8, Rng(2));
  const at::NoGradGuard no_grad;
  const auto before = model->answer(batch, Pass{}).answer;
  ASSERT_EQ(before.sizes(), (std::vector<int64_t>{8, 2}));
  // The head of domain 3 alone is changed: rows 3 and 7 alone answer otherwise.
  for (auto& item : model->named_parameters()) {
    if (item.key() == "head.weight") item.value().narrow(0, 6, 2).add_(1);
  }
  const auto changed = model->answer(batch, Pass{}).answer.ne(before).any(1);
  for (int64_t i = 0; i < 8; ++i) EXPECT_EQ(changed[i].item<bool>(), i % 4 == 3) << i;
}

TEST(TabularHeads, WantDomains) {
  const auto text = refusal<ValueError>([] { table(0, {{"heads", "domain"}}); });
  EXPECT_NE(text.find("expected data with domains"), std::string::npos) << text;
  EXPECT_THROW(table(0, {{"mixture", kMixture}}), ValueError) << "the gate needs the task";
}

}  // namespace gw::test::tabular_heads_cases
