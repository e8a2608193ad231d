// A team with a bench: who falls behind is replaced, nobody else, and trials are not seen from outside.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/train/deferral.h"
#include "gatewright/train/prequential.h"
#include "gatewright/train/trainer.h"
#include "tests/support/refusal.h"

namespace gw::test::free_agents_cases {

/// Knows one concept of drift_stream with two inputs: the one at `degrees`.
class Compass : public Model {
 public:
  explicit Compass(double degrees) : Model("Compass") {
    const double a = degrees * std::acos(-1.0) / 180, r = std::sqrt(0.5);
    direction_ =
        at::tensor({r * (std::cos(a) + std::sin(a)), r * (std::cos(a) - std::sin(a))}).to(at::kFloat);
    register_parameter("direction", direction_, false);
  }
  Output answer(const Batch& batch, const Pass&) override {
    const auto odds = batch.at("x").matmul(direction_) * 4;
    return {at::stack({at::zeros_like(odds), odds}, 1), {}};
  }
  Batch example(int64_t, const Rng&) const override { return {}; }
  bool routed() const override { return false; }

 private:
  at::Tensor direction_;
};

std::vector<TrainedModel> agents(const std::vector<double>& degrees) {
  std::vector<TrainedModel> out;
  for (const double d : degrees)
    out.push_back({"at " + std::to_string(static_cast<int>(d)), std::make_shared<Compass>(d)});
  return out;
}

TrainConfig config(uint64_t seed, const std::vector<double>& drifts) {
  TrainConfig c;
  c.data =
      Json{{"part", "drift_stream"}, {"inputs", 2},      {"rows", 12000},  {"test", 10},   {"bias", 0.0},
           {"shift", 0.0},           {"drifts", drifts}, {"turns", {120}}, {"noise", 0.3}, {"seed", seed}};
  c.task = Json{{"part", "classification"}};
  return c;
}

std::shared_ptr<Learner> made(const Json& options) {
  Json choice{{"part", "free_agents"}};
  choice.update(options);
  return make_chosen<Learner>(PartChoice(choice), {});
}

StreamOutcome ran(const TrainConfig& c, const Json& options, const std::vector<double>& degrees) {
  const auto d = load_data(c);
  const auto t = make_task(c);
  const auto learner = made(options);
  learner->begin({c, d, *t, agents(degrees)});
  StreamOptions how;
  how.window = 200, how.horizon = 200;
  return run_stream(d, *t, *learner, how, Rng(2));
}

const std::vector<double> kTeamAndPool{0, 5, -5, 60, 120, 180, 240};

TEST(FreeAgents, ReplaceWhoFallsBehindAfterADrift) {
  const auto c = config(1, {5000});  // window 25 of 60
  const auto out = ran(c, Json::object(), kTeamAndPool);
  EXPECT_EQ(out.metrics.at("false_alarms"), 0.0);
  EXPECT_LE(out.metrics.at("delay"), 3.0);
  const auto& accuracy = out.curves.at("accuracy").y;
  const double before = accuracy[20], after = accuracy[45];
  EXPECT_GT(before, 0.85);
  EXPECT_GT(after, 0.9 * before);
  EXPECT_LT(accuracy[26], 0.6) << "nobody is promoted before a trial is over";
  const auto& team = out.tables.at("team");
  EXPECT_EQ(team.names[4], "at 120");
  EXPECT_EQ(team.values[4][0], 1.0);
  const auto stay = ran(c, {{"replaces", false}}, kTeamAndPool);
  EXPECT_LT(stay.curves.at("accuracy").y[45], 0.6);
  EXPECT_EQ(stay.metrics.at("promotions"), 0.0);
}

TEST(FreeAgents, TheTeamServesUnchangedUntilAPromotion) {
  const auto c = config(1, {5000});
  const auto with = ran(c, Json::object(), kTeamAndPool),
             without = ran(c, {{"replaces", false}}, kTeamAndPool);
  const auto& promotions = with.curves.at("promotions").y;
  size_t first = 0;
  while (first < promotions.size() && promotions[first] == 0) ++first;
  ASSERT_GT(first, 28u) << "five windows of probation after the release";
  ASSERT_LT(first, promotions.size());
  for (size_t w = 0; w <= first; ++w)
    EXPECT_EQ(with.curves.at("accuracy").y[w], without.curves.at("accuracy").y[w]) << w;
}

TEST(FreeAgents, AStationaryStreamReleasesNobodyButByTheLevel) {
  constexpr int64_t kStreams = 60;
  constexpr double kLevel = 0.1;
  int64_t released = 0, promoted = 0;
  for (int64_t s = 0; s < kStreams; ++s) {
    const auto out = ran(config(static_cast<uint64_t>(100 + s), {}),
                         {{"drift", {{"level", kLevel}, {"reference", 10}, {"horizon", 50}}}}, kTeamAndPool);
    released += out.metrics.at("releases") > 0 ? 1 : 0, promoted += out.metrics.at("promotions") > 0 ? 1 : 0;
  }
  EXPECT_GT(1 - binomial_below(released - 1, kStreams, kLevel), 0.001)
      << released << " of " << kStreams << " streams at a level of " << kLevel;
  EXPECT_LE(promoted, released);
}

TEST(FreeAgents, RewardsAreWhatTheySay) {
  const auto c = config(1, {});
  const auto d = load_data(c);
  const auto t = make_task(c);
  const auto learner = made({{"slots", 2}, {"synergy", 1.0}, {"abstention", 0.5}, {"sure", 0.9}});
  learner->begin({c, d, *t, agents({0, 180, 90})});
  Batch batch;
  static_cast<TensorSet&>(batch) = d.train.first(500);
  batch.index = at::arange(500, at::kLong);
  const auto news = learner->learn({{}, batch}, {});
  const auto x = batch.at("x"), label = batch.at("label");
  const auto right = [&](double degrees) {
    return Compass(degrees)
        .answer(batch, {})
        .answer.argmax(1)
        .eq(label)
        .to(at::kDouble)
        .mean()
        .item<double>();
  };
  const auto odds = Compass(0).answer(batch, {}).answer.select(1, 1).abs();
  const double unsure = at::sigmoid(odds).lt(0.9).to(at::kDouble).mean().item<double>();
  // Opposite answers, equal weights at first: together the odds are even and the first class is given.
  const double together = label.eq(0).to(at::kDouble).mean().item<double>();
  const double a = right(0), b = right(180);
  const double mean = ((a + together - b) + (b + together - a)) / 2 - 0.5 * unsure;
  EXPECT_NEAR(news.values.at("mean_reward"), mean, 0.02) << "ties of floats aside";
  expect_part(refusal<ValueError>([&] {
                made({})->begin({c, d, *t, agents({0, 1})});
              }),
              "at least as many trained networks as 3 slots");
  expect_part(refusal<ValueError>([] { made({{"slot", 2}}); }), "did you mean \"slots\"?");
}

}  // namespace gw::test::free_agents_cases
