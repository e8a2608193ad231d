// Pairs of columns that act together: exact where a sum has no pairs, found where the truth is known.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/field_pairs.h"
#include "tests/support/refusal.h"

namespace gw::test::field_pairs_cases {

std::vector<InputField> columns(int64_t count) {
  std::vector<InputField> fields;
  for (int64_t c = 0; c < count; ++c) fields.push_back({"c" + std::to_string(c), c, 1, true});
  return fields;
}

TEST(FieldPairs, ASumHasNoneAndAProductOne) {
  const auto x = ops::normal(Rng(1), {400, 4}, 0, 1);
  const auto answer = [](const at::Tensor& rows) {
    Output out;
    const auto c = [&](int64_t i) { return rows.select(1, i); };
    out.answer = (at::exp(c(0)) + 3 * c(1) * c(3) - c(2).square()).unsqueeze(1);
    return out;
  };
  const auto pairs = field_pairs(answer, x, columns(4), 1000, Rng(2));
  ASSERT_EQ(pairs.size(), 6u);
  EXPECT_EQ(pairs[0].a, 1);
  EXPECT_EQ(pairs[0].b, 3);
  // (x − x')(y − y') of independent standard normals has the variance 4.
  EXPECT_NEAR(pairs[0].together, 6, 1.2);
  for (size_t i = 1; i < pairs.size(); ++i) EXPECT_LT(pairs[i].together, 1e-5) << i;
  EXPECT_TRUE(std::isnan(pairs[0].attention));
  EXPECT_EQ(pairs_found(pairs, {{1, 3}}, false), 1);
  EXPECT_EQ(pairs_found(pairs, {{0, 1}}, false), 0);
  EXPECT_TRUE(std::isnan(pairs_found(pairs, {{1, 3}}, true)));
  EXPECT_TRUE(std::isnan(pairs_found(pairs, {}, false)));
  const auto table = pair_table(pairs, columns(4), 2);
  EXPECT_EQ(table.names, (std::vector<std::string>{"c1 x c3", table.names[1]}));
  EXPECT_EQ(table.columns, (std::vector<std::string>{"together"}));
}

// A constant added to all logits is no pair: it changes no probability.
TEST(FieldPairs, WhatAllClassesShareIsNoPair) {
  const auto answer = [](const at::Tensor& rows) {
    Output out;
    const auto shared = rows.select(1, 0) * rows.select(1, 1);
    out.answer = at::stack({shared, shared + rows.select(1, 2), shared}, 1);
    out.attention = at::eye(3);
    out.attention[0][2] = 0.4;
    return out;
  };
  const auto pairs = field_pairs(answer, ops::normal(Rng(3), {50, 3}, 0, 1), columns(3), 30, Rng(4));
  for (const auto& pair : pairs) EXPECT_LT(pair.together, 1e-5) << pair.a << pair.b;
  EXPECT_EQ(pairs_found(pairs, {{0, 2}}, true), 1) << "by attention";
}

TEST(FieldPairs, ManyFieldsAreCutToThoseThatMoveTheAnswer) {
  const auto answer = [](const at::Tensor& rows) {
    Output out;
    out.answer = (rows.select(1, 38) * rows.select(1, 39)).unsqueeze(1);
    return out;
  };
  const auto pairs = field_pairs(answer, ops::normal(Rng(5), {40, 40}, 0, 1), columns(40), 1000, Rng(6));
  EXPECT_EQ(pairs.size(), 32u * 31u / 2u);
  EXPECT_EQ(pairs[0].a, 38);
  EXPECT_EQ(pairs[0].b, 39);
  expect_part(refusal<ValueError>([&] {
                field_pairs(answer, at::zeros({9, 1}), columns(1), 9, Rng(1));
              }),
              "at least 2 fields and 2 rows");
}

TEST(ClickTable, KnowsItsPairsAndIsTheSameAgain) {
  const Json options{{"factors", 4}, {"levels", 3},  {"numbers", 2}, {"pairs", 3},
                     {"triples", 1}, {"train", 200}, {"test", 50}};
  const auto data = make_part<Dataset>("click_table", options, {})->load();
  EXPECT_EQ(data.train.at("x").sizes(), (at::IntArrayRef{200, 14}));
  EXPECT_EQ(data.fields.size(), 6u);
  EXPECT_EQ(data.numeric, (std::vector<int64_t>{12, 13}));
  EXPECT_GE(data.known_pairs.size(), 3u);
  EXPECT_LE(data.known_pairs.size(), 6u);
  for (const auto& [a, b] : data.known_pairs) EXPECT_LT(a, b);
  EXPECT_TRUE(data.train.at("x").narrow(1, 0, 12).sum(1).eq(4).all().item<bool>())
      << "one level of each factor";
  EXPECT_TRUE(data.train.at("targets").squeeze(1).to(at::kLong).equal(data.train.at("label")));
  const auto again = make_part<Dataset>("click_table", options, {})->load();
  EXPECT_TRUE(again.test.at("x").equal(data.test.at("x")));
  expect_part(refusal<ValueError>([] {
                make_part<Dataset>("click_table", {{"factors", 3}, {"pairs", 4}, {"triples", 0}}, {});
              }),
              "at most 3 pairs of 3 fields, got 4");
}

}  // namespace gw::test::field_pairs_cases
