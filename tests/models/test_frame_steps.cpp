// Layers along time: step by step they answer what they answer whole, in f64; delays, ends, costs.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/registry.h"
#include "gatewright/models/frame_steps.h"
#include "gatewright/models/model.h"
#include "gatewright/models/steps.h"
#include "gatewright/ops/cost.h"
#include "gatewright/ops/random.h"
#include "tests/support/gradcheck.h"
#include "tests/support/refusal.h"

namespace gw::test::frame_steps_cases {

constexpr double kEqual = 1e-11;

at::Tensor drawn(uint64_t seed, at::IntArrayRef sizes, double deviation = 1) {
  return ops::normal(Rng(seed), sizes, 0, deviation).to(at::kDouble);
}

double apart(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return 1e9;
  return a.numel() == 0 ? 0 : (a - b).abs().max().item<double>();
}

/// All that steps give for frames [S, T, in], what waits behind the end included: [S, T, out].
at::Tensor stepped(FrameSteps& steps, const at::Tensor& x) {
  std::vector<at::Tensor> out;
  for (int64_t t = 0; t < x.size(1); ++t) {
    const auto y = steps.step(x.select(1, t));
    EXPECT_EQ(y.defined(), t >= steps.delay()) << "after " << t;
    if (y.defined()) out.push_back(y);
  }
  while (steps.waiting() > 0) {
    const auto y = steps.step({});
    if (y.defined()) out.push_back(y);
  }
  EXPECT_FALSE(steps.step({}).defined());
  return at::stack(out, 1);
}

std::shared_ptr<TimeConv> conv(const TimeConvShape& shape) {
  auto made = std::make_shared<TimeConv>(shape, Rng(3));
  made->named_parameters()["bias"].data().copy_(ops::normal(Rng(4), {shape.out}, 0, 1));
  made->to(at::kDouble);
  return made;
}

TEST(TimeConv, IsItsSum) {
  const TimeConvShape shape{3, 2, 3, 2, 1};
  const auto made = conv(shape);
  const at::NoGradGuard no_grad;
  const auto w = made->named_parameters()["weight"], b = made->named_parameters()["bias"];
  const auto x = drawn(1, {1, 7, 3});
  const auto y = made->forward(x);
  for (int64_t t = 0; t < 7; ++t) {
    auto said = b.clone();
    for (int64_t j = 0; j < 3; ++j) {
      const int64_t at = t + 1 - 2 * j;
      if (at >= 0 && at < 7) said += at::matmul(w[j], x[0][at]);
    }
    EXPECT_LT(apart(y[0][t], said), kEqual) << t;
  }
}

TEST(TimeConv, StepsAreTheWhole) {
  const at::NoGradGuard no_grad;
  for (int64_t kernel = 1; kernel <= 5; ++kernel) {
    for (int64_t dilation = 1; dilation <= 3; ++dilation) {
      const TimeConvShape causal{3, 4, kernel, dilation, 0};
      for (const int64_t ahead : {int64_t{0}, causal.reach() / 2, causal.reach()}) {
        auto shape = causal;
        shape.ahead = ahead;
        const auto made = conv(shape);
        const auto steps = made->steps();
        for (const int64_t length : {200, 5, 1}) {
          const auto x = drawn(7, {2, length, 3});
          EXPECT_LT(apart(stepped(*steps, x), made->forward(x)), kEqual)
              << kernel << " " << dilation << " " << ahead << " " << length;
          steps->reset();
        }
      }
    }
  }
}

TEST(TimeConv, GradientsAreTheDerivatives) {
  const auto made = conv({2, 3, 3, 2, 2});
  const auto f = [&](const std::vector<at::Tensor>& in) {
    return std::vector<at::Tensor>{made->forward(in[0])};
  };
  EXPECT_LT(gradient_error(f, {drawn(1, {2, 6, 2})}), 1e-7);
}

TEST(TimeConv, AFrameIsMultipliedOnce) {
  const at::NoGradGuard no_grad;
  const auto made = conv({3, 4, 5, 2, 0});
  const auto steps = made->steps();
  const ops::CostRecorder recorder;
  steps->step(drawn(1, {2, 3}));
  EXPECT_EQ(recorder.macs(), 2 * 5 * 3 * 4);
}

TEST(FrameSteps, RefusesFramesBehindTheEndAndOtherStreams) {
  const at::NoGradGuard no_grad;
  const auto made = conv({3, 3, 3, 1, 1});
  const auto steps = made->steps();
  steps->step(drawn(1, {2, 3}));
  expect_part(refusal<ValueError>([&] { steps->step(drawn(1, {1, 3})); }), "a frame of each of 2 streams");
  steps->step({});
  expect_part(refusal<ValueError>([&] { steps->step(drawn(1, {2, 3})); }), "behind the end");
  steps->reset();
  EXPECT_FALSE(steps->step(drawn(1, {1, 3})).defined());
  expect_part(refusal<ValueError>([] { TimeConv({1, 1, 3, 1, 3}, Rng(1)); }), "look 0 to 2 frames ahead");
}

constexpr int64_t kWidth = 6, kWindow = 8;

std::shared_ptr<TimeAttention> attention(int64_t window = kWindow) {
  auto made = std::make_shared<TimeAttention>(kWidth, 2, window, Rng(5));
  made->to(at::kDouble);
  return made;
}

TEST(TimeAttention, NewestIsASoftmaxOverTheWindow) {
  const at::NoGradGuard no_grad;
  const auto made = attention(3);
  const auto p = made->named_parameters();
  const auto x = drawn(2, {1, 7, kWidth});
  const auto y = made->newest(x);
  const auto all = at::matmul(x[0], p["in"].t());
  for (int64_t t = 0; t < 7; ++t) {
    const int64_t first = std::max<int64_t>(0, t - 2), m = t - first + 1;
    std::vector<at::Tensor> heads;
    for (int64_t h = 0; h < 2; ++h) {
      const auto of = [&](int64_t part) { return all.narrow(1, part * kWidth + h * 3, 3); };
      const auto score = at::matmul(of(1).narrow(0, first, m), of(0)[t]) / std::sqrt(3.0);
      heads.push_back(at::matmul(at::softmax(score, 0), of(2).narrow(0, first, m)));
    }
    EXPECT_LT(apart(y[0][t], at::matmul(p["out"], at::cat(heads))), kEqual) << t;
  }
  // The mean over all of a window of one frame is that frame's answer.
  EXPECT_LT(apart(attention(1)->mean_of_all(x), attention(1)->newest(x).select(1, 6)), kEqual);
}

TEST(TimeAttention, StepsAreTheWhole) {
  const at::NoGradGuard no_grad;
  for (const int64_t window : {1, 3, 8}) {
    const auto made = attention(window);
    const auto x = drawn(2, {2, 200, kWidth});
    const auto newest = made->newest_steps(), all = made->all_steps();
    EXPECT_LT(apart(stepped(*newest, x), made->newest(x)), kEqual) << window;
    const auto means = stepped(*all, x);
    for (int64_t t = 0; t < 200; ++t)
      EXPECT_LT(apart(means.select(1, t), made->mean_of_all(x.narrow(1, 0, t + 1))), kEqual)
          << window << " " << t;
  }
}

// Logits of thousands: exponentials that are not held to a maximum overflow, and a row whose largest frame
// leaves would have lost all digits.
TEST(TimeAttention, LargeLogitsNeitherOverflowNorDrift) {
  const at::NoGradGuard no_grad;
  const auto made = attention();
  const auto steps = made->all_steps();
  auto x = drawn(2, {1, 300, kWidth});
  for (int64_t t = 0; t < 300; t += 17) x.select(1, t).mul_(60);
  const auto means = stepped(*steps, x);
  ASSERT_TRUE(means.isfinite().all().item<bool>());
  for (int64_t t = 0; t < 300; ++t) {
    const auto said = made->mean_of_all(x.narrow(1, 0, t + 1));
    EXPECT_LT(apart(means.select(1, t), said), 1e-8 * (1 + said.abs().max().item<double>())) << t;
  }
}

TEST(TimeAttention, CountsWhatItSays) {
  const at::NoGradGuard no_grad;
  const auto made = attention();
  const auto newest = made->newest_steps(), all = made->all_steps();
  for (uint64_t t = 0; t < 20; ++t) newest->step(drawn(t, {1, kWidth})), all->step(drawn(t, {1, kWidth}));
  const int64_t projections = 4 * kWidth * kWidth;
  const auto of = [&](FrameSteps& steps) {
    const ops::CostRecorder recorder;
    steps.step(drawn(1, {1, kWidth}));
    return recorder.macs() - projections;
  };
  EXPECT_EQ(of(*newest), 2 * kWindow * kWidth);
  EXPECT_EQ(of(*all), (7 * kWindow - 4) * kWidth);
}

TEST(TimeAttention, GradientsAreTheDerivatives) {
  const auto made = attention(3);
  const auto f = [&](const std::vector<at::Tensor>& in) {
    return std::vector<at::Tensor>{made->newest(in[0]), made->mean_of_all(in[0])};
  };
  EXPECT_LT(gradient_error(f, {drawn(1, {2, 5, kWidth})}), 1e-7);
  expect_part(refusal<ValueError>([] { TimeAttention(6, 4, 3, Rng(1)); }),
              "that 4 heads divide, got 6; take 8");
}

std::shared_ptr<Model> network(const Json& options, bool per_token, int64_t context = 16) {
  Model::Context made;
  made.data.vocabulary = 32, made.data.context = context;
  made.answer = {5, per_token};
  made.seed = 9;
  Json all{{"width", 8}, {"depth", 2}, {"window", 6}, {"heads", 2}};
  all.update(options);
  auto model = make_part<Model>("continual", all, made);
  model->to(at::kDouble);
  model->eval();
  return model;
}

at::Tensor tokens(int64_t streams, int64_t length) {
  return (ops::uniform(Rng(8), {streams, length}, 0, 1) * 32).to(at::kLong).clamp_max(31);
}

at::Tensor whole(Model& model, const at::Tensor& token) {
  Batch batch;
  batch.fields["token"] = token.contiguous();
  batch.index = at::arange(token.size(0), at::kLong);
  Pass evaluation;
  evaluation.train = false;
  return model.answer(batch, evaluation).answer;
}

const Json kMixture{{"experts", 4},
                    {"policy", {{"part", "softmax_top_k"}, {"k", 2}}},
                    {"bank", {{"part", "mlp"}, {"hidden", 6}}}};

// A tokenwise mixture makes no difference between step and window: the same experts serve the same tokens.
TEST(Continual, StepsAreWindowsPerToken) {
  const at::NoGradGuard no_grad;
  for (const bool centred : {false, true}) {
    for (const char* kind : {"none", "newest"}) {
      for (const auto& mixture : {Json::object(), kMixture}) {
        const auto model = network({{"attention", kind}, {"centred", centred}, {"mixture", mixture}}, true);
        auto& steps = dynamic_cast<Steppable&>(*model);
        EXPECT_EQ(steps.delay(), centred ? 3 : 0);
        EXPECT_EQ(steps.receptive_field(), 7 + (std::string(kind) == "none" ? 0 : 5));
        const auto token = tokens(2, 40);
        auto session = steps.open_steps();
        std::vector<at::Tensor> out;
        for (int64_t t = 0; t < 40; ++t) {
          const auto y = session->step(token.select(1, t));
          EXPECT_EQ(y.defined(), t >= steps.delay());
          if (y.defined()) out.push_back(y);
        }
        for (auto y = session->finish(); y.defined(); y = session->finish()) out.push_back(y);
        EXPECT_LT(apart(at::stack(out, 1), whole(*model, token)), kEqual)
            << kind << centred << mixture.dump();
        // The sliding window: an answer depends on the receptive field alone.
        const int64_t field = steps.receptive_field();
        for (int64_t t = field - 1; t < 40; ++t) {
          const auto window = whole(*model, token.narrow(1, t - field + 1, field));
          EXPECT_LT(
              apart(out[static_cast<size_t>(t - steps.delay())], window.select(1, field - 1 - steps.delay())),
              kEqual)
              << kind << centred << t;
        }
      }
    }
  }
}

TEST(Continual, StepsAreWindowsForOneAnswer) {
  const at::NoGradGuard no_grad;
  for (const char* kind : {"none", "newest", "all"}) {
    for (const bool centred : {false, true}) {
      const auto model = network({{"attention", kind}, {"centred", centred}, {"mixture", kMixture}}, false);
      auto& steps = dynamic_cast<Steppable&>(*model);
      const int64_t field = steps.receptive_field();
      const auto token = tokens(2, 60);
      auto session = steps.open_steps();
      for (int64_t t = 0; t < 60; ++t) {
        const auto y = session->step(token.select(1, t));
        if (t < field - 1) continue;
        EXPECT_LT(apart(y, whole(*model, token.narrow(1, t - field + 1, field))), kEqual) << kind << t;
        EXPECT_LT(apart(y, whole(*model, token.narrow(1, 0, t + 1))), kEqual) << kind << t;
      }
    }
  }
}

TEST(Continual, ASessionForgetsAtResetAndStreamsDoNotMeet) {
  const at::NoGradGuard no_grad;
  const auto model = network({{"attention", "newest"}, {"centred", true}, {"mixture", kMixture}}, true);
  auto& steps = dynamic_cast<Steppable&>(*model);
  const auto token = tokens(3, 20);
  const auto all = [&](StepSession& session, const at::Tensor& streams) {
    std::vector<at::Tensor> out;
    for (int64_t t = 0; t < streams.size(1); ++t) {
      const auto y = session.step(streams.select(1, t));
      if (y.defined()) out.push_back(y);
    }
    for (auto y = session.finish(); y.defined(); y = session.finish()) out.push_back(y);
    return at::stack(out, 1);
  };
  auto session = steps.open_steps();
  const auto together = all(*session, token);
  session->reset();
  EXPECT_EQ(apart(all(*session, token), together), 0.0) << "after reset the stream is met for the first time";
  const auto order = at::tensor({2, 0}, at::kLong);
  auto other = steps.open_steps();
  EXPECT_LT(apart(all(*other, token.index_select(0, order)), together.index_select(0, order)), kEqual);
  auto short_one = steps.open_steps();  // ends before the first answer would have come
  EXPECT_LT(apart(all(*short_one, token.narrow(1, 0, 2)), whole(*model, token.narrow(1, 0, 2))), kEqual);
  expect_part(refusal<ValueError>([&] { session->step(token.select(1, 0)); }), "behind the end");
}

// In f32 steps take the kernels of the experts where windows take libtorch's products.
TEST(Continual, InF32StepsAreWindowsAndStreamsDoNotMeet) {
  const at::NoGradGuard no_grad;
  const auto token = tokens(3, 40);
  for (const char* kind : {"none", "newest"}) {
    for (const auto& mixture : {Json::object(), kMixture}) {
      const Json options{{"width", 48}, {"attention", kind}, {"mixture", mixture}};
      const auto model = network(options, true);
      model->to(at::kFloat);
      auto& steps = dynamic_cast<Steppable&>(*model);
      auto together = steps.open_steps(), alone = steps.open_steps();
      std::vector<at::Tensor> out;
      for (int64_t t = 0; t < 40; ++t) {
        out.push_back(together->step(token.select(1, t)));
        ASSERT_EQ(out.back().scalar_type(), at::kFloat);
        const auto one = alone->step(token.select(1, t).narrow(0, 1, 1));
        EXPECT_TRUE(!mixture.empty() || one.equal(out.back().narrow(0, 1, 1))) << kind << t;
      }
      const auto said = whole(*model, token);
      EXPECT_LT(apart(at::stack(out, 1), said) / said.abs().max().item<double>(), 1e-5) << kind;
    }
  }
}

// What a session keeps are sums, keys and values: weights are those of the network when the step is made.
TEST(Continual, ASessionReadsTheWeightsAsTheyAre) {
  const at::NoGradGuard no_grad;
  const auto model = network({{"depth", 1}, {"kernel", 1}, {"mixture", kMixture}}, true);
  const auto session = dynamic_cast<Steppable&>(*model).open_steps();
  const auto token = tokens(2, 2);
  session->step(token.select(1, 0));
  for (auto& parameter : model->parameters()) parameter.mul_(1.5);
  EXPECT_LT(apart(session->step(token.select(1, 1)), whole(*model, token).select(1, 1)), kEqual);
}

TEST(Continual, RefusesTokensThatTheVocabularyLacks) {
  const auto model = network(Json::object(), true);
  const auto session = dynamic_cast<Steppable&>(*model).open_steps();
  expect_part(refusal<ValueError>([&] {
                session->step(at::tensor({3, 32}, at::kLong));
              }),
              "expected tokens in [0, 32), got 32");
  expect_part(refusal<ValueError>([&] { session->step(at::tensor({-1}, at::kLong)); }), "got -1");
}

// What the docstring warns of: a policy with room for a share of the tokens sees others in a window.
TEST(Continual, RoomForAShareOfTheTokensIsAnotherNetworkStepByStep) {
  const at::NoGradGuard no_grad;
  auto mixture = kMixture;
  mixture["policy"] = {{"part", "expert_choice"}};
  const auto model = network({{"mixture", mixture}}, true);
  auto session = dynamic_cast<Steppable&>(*model).open_steps();
  const auto token = tokens(1, 30);
  at::Tensor y;
  for (int64_t t = 0; t < 30; ++t) y = session->step(token.select(1, t));
  EXPECT_GT(apart(y, whole(*model, token).select(1, 29)), 1e-4);
}

TEST(Continual, RefusesWhatItCannotStep) {
  expect_part(refusal<ValueError>([] { network({{"attention", "all"}}, true); }), "for answers per token");
  expect_part(refusal<ValueError>([] {
                network({{"centred", true}, {"kernel", 4}}, true);
              }),
              "an odd \"kernel\"");
  expect_part(refusal<ValueError>([] {
                network({{"attention", "newst"}}, true);
              }),
              "did you mean \"newest\"?");
  auto mixture = kMixture;
  mixture["gate"] = {{"part", "positional"}};
  expect_part(refusal<ValueError>([&] { network({{"mixture", mixture}}, true); }), "needs position");
  expect_part(refusal<ValueError>([] { network({{"growth", 16}, {"depth", 9}}, true); }), "lower \"growth\"");
}

}  // namespace gw::test::frame_steps_cases
