// The network that points at a word: its equations, what it cannot see, what it refuses.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <cmath>
#include <vector>

#include "gatewright/base/registry.h"
#include "gatewright/data/cloze.h"
#include "gatewright/models/model.h"
#include "gatewright/ops/random.h"
#include "tests/support/gradcheck.h"
#include "tests/support/refusal.h"

namespace gw::test::reader_cases {

constexpr int64_t kQuestion = 4, kContext = 6;

const Json kOneExpert{{"experts", 1},
                      {"policy", {{"part", "softmax_top_k"}, {"k", 1}}},
                      {"bank", {{"part", "mlp"}, {"hidden", 5}, {"activation", "gelu"}}}};

std::shared_ptr<Model> reader(Json options = Json::object()) {
  Model::Context context;
  context.data.vocabulary = 20, context.data.context = kQuestion + 1 + kContext, context.data.domains = 2;
  context.answer = {kContext, false};
  context.seed = 3;
  Json all{{"width", 4}, {"depth", 1}, {"kernel", 3}, {"mixture", kOneExpert}};
  all.update(options);
  auto made = make_part<Model>("reader", all, context);
  made->to(at::kDouble);
  return made;
}

/// Two questions; word 7 of the first stands on both sides, its last place is empty.
Batch questions() {
  Batch batch;
  batch.fields["token"] =
      at::tensor(
          std::vector<int64_t>{7, kGapWord, 9,        kNoWord, kSeparator, 12, 7,  13, 5,  6,  kNoWord,  //
                               4, 5,        kGapWord, 6,       kSeparator, 10, 11, 12, 13, 14, 15},
          at::kLong)
          .view({2, kQuestion + 1 + kContext});
  batch.fields["domain"] = at::tensor({0, 1}, at::kLong);
  batch.index = at::arange(2, at::kLong);
  return batch;
}

Pass pass_of(bool train, uint64_t seed = 1) {
  Pass pass;
  pass.train = train, pass.rng = Rng(seed);
  return pass;
}

at::Tensor rms(const at::Tensor& x, const at::Tensor& weight) {
  return weight * x / (x.square().mean(-1, true) + 1e-6).sqrt();
}

TEST(Reader, IsItsEquations) {
  const auto made = reader({{"depth", 0 + 1}});
  const at::NoGradGuard no_grad;
  auto p = made->named_parameters();
  // Without experts: the mixture's last product is zero.
  for (auto& item : p) {
    if (item.key().find("mixture") != std::string::npos) item.value().zero_();
  }
  const auto batch = questions();
  const auto& token = batch.at("token");
  const std::vector<int64_t> side{1, 0, 0, 0, 0, 2, 3, 2, 2, 2, 2};
  const int64_t t = token.size(1), q = kQuestion + 1;
  auto h = at::empty({t, 4}, at::kDouble);
  for (int64_t i = 0; i < t; ++i)
    h[i] = p["embedding"][token[0][i].item<int64_t>()] + p["side"][side[static_cast<size_t>(i)]];
  const auto n = rms(h, p["norm0.weight"]);
  for (int64_t i = 0; i < t; ++i) {
    auto y = p["conv0.bias"].clone();
    for (int64_t j = 0; j < 3; ++j) {
      const int64_t at = i + 1 - j;
      if (at >= 0 && at < t) y += at::matmul(p["conv0.weight"][j], n[at]);
    }
    h[i] += at::relu(y);
  }
  const auto last = rms(h, p["norm.weight"]);
  const auto answer = made->answer(batch, pass_of(false)).answer;
  EXPECT_EQ(answer.sizes(), (at::IntArrayRef{2, kContext}));
  const auto asked = at::matmul(p["product"], last[1]);
  for (int64_t c = 0; c + 1 < kContext; ++c) {
    const auto word = last[q + c];
    const double said = at::matmul(p["product"], word).dot(asked).item<double>() / 2 +
                        at::matmul(p["prior"], word).item<double>();
    EXPECT_NEAR(answer[0][c].item<double>(), said, 1e-9) << c;
  }
  EXPECT_LT(answer[0][kContext - 1].item<double>(), -1e8) << "no word stands there";
}

TEST(Reader, GradientsAreTheDerivatives) {
  const auto made = reader();
  const auto loss = [&] {
    return at::cross_entropy_loss(made->answer(questions(), pass_of(true)).answer,
                                  at::tensor({2, 5}, at::kLong));
  };
  for (auto& item : made->named_parameters()) {
    auto& p = item.value();
    const auto gradient = torch::autograd::grad({loss()}, {p}, {}, false, false, true)[0];
    if (!gradient.defined()) continue;  // the gate of one expert
    const auto flat = gradient.contiguous();
    const at::NoGradGuard no_grad;
    for (int64_t i = 0; i < p.numel(); i += 3)
      EXPECT_LT(difference_error(
                    p.data_ptr<double>()[i], flat.data_ptr<double>()[i],
                    [&] { return loss().item<double>(); }, 1e-6),
                1e-5)
          << item.key() << " " << i;
  }
}

TEST(Reader, ForgetsWordsInTrainingAlone) {
  const auto made = reader({{"forget", 0.5}}), plain = reader();
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(made->answer(questions(), pass_of(false))
                  .answer.equal(plain->answer(questions(), pass_of(false)).answer));
  const auto once = made->answer(questions(), pass_of(true, 1)).answer;
  EXPECT_FALSE(once.equal(made->answer(questions(), pass_of(true, 2)).answer));
  EXPECT_TRUE(once.equal(made->answer(questions(), pass_of(true, 1)).answer));
}

TEST(Reader, RoutesByDomainWhereTold) {
  Json mixture = kOneExpert;
  mixture["experts"] = 2, mixture["policy"] = {{"part", "given"}};
  const auto made = reader({{"mixture", mixture}});
  const auto out = made->answer(questions(), pass_of(false));
  const int64_t t = kQuestion + 1 + kContext;
  ASSERT_EQ(out.plans.size(), 1u);
  EXPECT_EQ(out.plans[0].plan.rows_of(0), t);
  EXPECT_EQ(out.plans[0].plan.rows_of(1), t);
}

TEST(Reader, RefusesWhatDoesNotFit) {
  expect_part(refusal<ValueError>([] { reader({{"kernel", 4}}); }), "an odd \"kernel\"");
  expect_part(refusal<ValueError>([] {
                make_part<Model>("reader", Json::object(), {DataSpec{}, {3, false}, 1});
              }),
              "take cloze");
  expect_part(refusal<ValueError>([] {
                auto batch = questions();
                batch.fields["token"] = batch.fields["token"].narrow(1, 0, kContext);
                reader()->answer(batch, pass_of(false));
              }),
              "of more than 6 places");
}

}  // namespace gw::test::reader_cases
