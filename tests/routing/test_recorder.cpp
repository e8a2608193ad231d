// Recording to files and replaying from them, with policies alone.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <thread>

#include "gatewright/base/file.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/random.h"
#include "gatewright/routing/policy.h"
#include "gatewright/routing/recorder.h"
#include "gatewright/routing/replayer.h"
#include "tests/runs/scratch.h"
#include "tests/support/refusal.h"

namespace gw::test::recorder_cases {

using gw::RoutePhase;
using gw::RoutePurpose;
using gw::RouteRecorder;

std::shared_ptr<gw::Policy> top1(int64_t experts) {
  return gw::make_part<gw::Policy>("top1_straight_through", gw::Json::object(), {experts});
}

at::Tensor scores_at(int64_t step, int64_t tokens = 12, int64_t experts = 4) {
  return gw::ops::normal(gw::Rng(7).fork("scores", static_cast<uint64_t>(step)), {tokens, experts}, 0, 1);
}

gw::RouteFrame frame_at(int64_t step, RoutePhase phase = RoutePhase::kTrain) {
  return {phase, step, 0, 0, at::arange(12).remainder(3), at::arange(12) + step};
}

/// A batch of two layers, clean and attacked; returns the plans.
std::vector<gw::RoutingPlan> batch(gw::RouteTap& tap, int64_t step, const at::Tensor& scores,
                                   RoutePhase phase = RoutePhase::kTrain) {
  const auto policy = top1(4);
  const gw::Rng rng(0);
  std::vector<gw::RoutingPlan> plans;
  tap.begin(frame_at(step, phase));
  for (const char* site : {"first", "second"}) {
    for (const auto purpose : {RoutePurpose::kClean, RoutePurpose::kSearch, RoutePurpose::kAttacked}) {
      plans.push_back(tap.decide(gw::policy_query(site, purpose, *policy, scores, true, rng)));
    }
  }
  tap.end();
  return plans;
}

RouteRecorder::Files files_in(const Scratch& scratch) {
  return {scratch / "routes.bin", scratch / "routes.jsonl"};
}
std::string bytes_of(const std::string& path) { return gw::read_file(path, 1 << 24); }

void record(const Scratch& scratch, int64_t steps) {
  RouteRecorder recorder(files_in(scratch), {{"network", {{"experts", 4}}}}, {});
  for (int64_t step = 1; step <= steps; ++step) batch(recorder, step, scores_at(step));
}

TEST(RouteStats, NumbersOfEvenCollapsedAndDroppedLoads) {
  gw::RouteStats even, collapsed, dropped;
  even.add(gw::make_plan(at::arange(8).remainder(4).view({8, 1}), at::ones({8, 1}), 4));
  EXPECT_DOUBLE_EQ(even.max_over_mean(), 1);
  EXPECT_DOUBLE_EQ(even.variation(), 0);
  EXPECT_DOUBLE_EQ(even.entropy(), 1);
  EXPECT_EQ(even.dead(), 0);
  collapsed.add(gw::constant_plan(8, 4, 1));
  EXPECT_DOUBLE_EQ(collapsed.max_over_mean(), 4);
  EXPECT_DOUBLE_EQ(collapsed.variation(), std::sqrt(3.0));
  EXPECT_DOUBLE_EQ(collapsed.entropy(), 0);
  EXPECT_EQ(collapsed.dead(), 3);
  dropped.add(gw::make_plan(at::tensor({0, 1, -1, 1, -1, -1}, at::kLong).view({3, 2}), at::ones({3, 2}), 4));
  EXPECT_EQ(dropped.dropped, 1);
  EXPECT_EQ(dropped.tokens, 3);
  EXPECT_EQ(dropped.rows(), 3);
  even.add(collapsed);
  EXPECT_EQ(even.load, (std::vector<int64_t>{2, 10, 2, 2}));
  EXPECT_DOUBLE_EQ(gw::RouteStats{}.max_over_mean(), 0);
}

TEST(Recorder, WritesEveryDecisionAndASummaryOfEveryLayer) {
  const Scratch scratch;
  record(scratch, 3);
  gw::RecordingReader reader(scratch / "routes.bin");
  EXPECT_EQ(reader.about()["network"]["experts"], 4);
  int64_t frames = 0, decisions = 0;
  for (auto item = reader.next(); item != gw::RecordingReader::Item::kEnd; item = reader.next()) {
    ++(item == gw::RecordingReader::Item::kFrame ? frames : decisions);
    if (item == gw::RecordingReader::Item::kFrame) {
      EXPECT_TRUE(reader.frame().index.equal(at::arange(12) + frames));
    }
    if (item == gw::RecordingReader::Item::kDecision) {
      EXPECT_EQ(reader.decision().weights, gw::RouteWeights::kOnes);
    }
  }
  EXPECT_EQ(frames, 3);
  EXPECT_EQ(decisions, 18);
  ASSERT_EQ(reader.sites().size(), 2u);
  EXPECT_EQ(reader.sites()[1].name, "second");
  const auto lines = bytes_of(scratch / "routes.jsonl");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'),
            12);  // 3 batches, 2 layers, clean and attacked: searches do not count
  const auto line = gw::Json::parse(lines.substr(0, lines.find('\n')));
  EXPECT_EQ(line["site"], "first");
  EXPECT_EQ(line["purpose"], "clean");
  EXPECT_EQ(line["tokens"], 12);
  EXPECT_EQ(line["dropped"], 0);
  int64_t rows = 0;
  for (const auto& n : line["load"]) rows += n.get<int64_t>();
  EXPECT_EQ(rows, 12);
}

TEST(Recorder, ResumedEqualsUninterrupted) {
  for (const int64_t lost : {0, 1, 23}) {
    const Scratch whole, cut;
    record(whole, 6);
    record(cut, 5);
    for (const char* name : {"routes.bin", "routes.jsonl"})
      std::filesystem::resize_file(cut / name,
                                   std::filesystem::file_size(cut / name) - static_cast<uintmax_t>(lost));
    {
      const auto recorder = RouteRecorder::resume(files_in(cut), gw::Json::object(), {}, 3);
      batch(*recorder, 4, scores_at(4), RoutePhase::kTest);  // what an evaluation left is done again
    }
    {
      const auto recorder = RouteRecorder::resume(files_in(cut), gw::Json::object(), {}, 3);
      for (int64_t step = 4; step <= 6; ++step) batch(*recorder, step, scores_at(step));
    }
    for (const char* name : {"routes.bin", "routes.jsonl"})
      EXPECT_EQ(bytes_of(cut / name), bytes_of(whole / name)) << name << " after losing " << lost;
  }
  const Scratch fresh;
  { const auto recorder = RouteRecorder::resume(files_in(fresh), gw::Json::object(), {}, 3); }
  EXPECT_TRUE(std::filesystem::exists(fresh / "routes.bin"));
}

TEST(Recorder, ListenersHearTheSameNumbers) {
  const Scratch scratch;
  RouteRecorder recorder({scratch / "routes.bin", ""}, gw::Json::object(), {});
  std::vector<gw::RouteSummary> heard;
  recorder.listen([&](const gw::RouteSummary& summary) { heard.push_back(summary); });
  const auto plans = batch(recorder, 5, scores_at(5));
  ASSERT_EQ(heard.size(), 4u);
  EXPECT_EQ(heard[0].step, 5);
  EXPECT_EQ(heard[3].site, "second");
  EXPECT_EQ(heard[3].purpose, RoutePurpose::kAttacked);
  for (int64_t e = 0; e < 4; ++e) EXPECT_EQ(heard[0].stats.load[static_cast<size_t>(e)], plans[0].rows_of(e));
  EXPECT_FALSE(std::filesystem::exists(scratch / "routes.jsonl"));
}

TEST(Recorder, AFullDiskIsAnErrorThatNamesTheFile) {
  const Scratch scratch;
  RouteRecorder recorder(files_in(scratch), gw::Json::object(), {});
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{100, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto message = refusal([&] { batch(recorder, 1, scores_at(1)); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  expect_part(message, "routes.bin");
  expect_part(message, "File too large");
}

TEST(Recorder, ThreadsMayShareIt) {
  const Scratch scratch;
  {
    RouteRecorder recorder({scratch / "routes.bin", ""}, gw::Json::object(), {});
    const auto work = [&](int64_t seed) {
      const auto policy = top1(4);
      const gw::Rng rng(0);
      const auto scores = scores_at(seed);
      for (int i = 0; i < 50; ++i)
        recorder.decide(gw::policy_query("layer", RoutePurpose::kClean, *policy, scores, false, rng));
    };
    std::thread other(work, 1);
    work(2);
    other.join();
  }
  gw::RecordingReader reader(scratch / "routes.bin");
  int64_t decisions = 0;
  for (auto item = reader.next(); item != gw::RecordingReader::Item::kEnd; item = reader.next())
    decisions += item == gw::RecordingReader::Item::kDecision ? 1 : 0;
  EXPECT_EQ(decisions, 100);
}

TEST(Replay, ForcesTheRecordedRoutesWhateverTheScores) {
  const Scratch scratch;
  std::vector<std::vector<gw::RoutingPlan>> plans;
  {
    RouteRecorder recorder(files_in(scratch), gw::Json::object(), {});
    for (int64_t step = 1; step <= 4; ++step) plans.push_back(batch(recorder, step, scores_at(step)));
  }
  gw::RouteReplayer replayer(scratch / "routes.bin", {});
  for (const int64_t step : {1, 2, 4, 3}) {  // resuming may start anywhere
    auto other = scores_at(step + 100).requires_grad_(true);
    const auto forced = batch(replayer, step, other);
    for (size_t i = 0; i < forced.size(); ++i) {
      EXPECT_EQ(forced[i].offsets, plans[static_cast<size_t>(step - 1)][i].offsets);
      EXPECT_TRUE(forced[i].token.equal(plans[static_cast<size_t>(step - 1)][i].token));
      EXPECT_TRUE(forced[i].weight.eq(1).all().item<bool>());
    }
    const auto gradient = torch::autograd::grad({(forced[0].weight * at::arange(1, 13)).sum()}, {other})[0];
    EXPECT_EQ(gradient.count_nonzero().item<int64_t>(),
              12);  // straight through to the forced expert of every token
    EXPECT_TRUE(gradient.gather(1, gw::chosen_experts(forced[0]).unsqueeze(1)).ne(0).all().item<bool>());
  }
}

TEST(Replay, RecordedWeightsAreConstants) {
  const Scratch scratch;
  const auto policy = gw::make_part<gw::Policy>("softmax_top_k", {{"k", 2}}, {4});
  const gw::Rng rng(0);
  const auto scores = scores_at(1).to(at::kDouble), other = scores_at(2).to(at::kDouble);
  gw::RoutingPlan plan;
  for (const bool weights : {true, false}) {
    gw::RecordingOptions options;
    options.weights = weights;
    {
      RouteRecorder recorder({scratch / "routes.bin", ""}, gw::Json::object(), options);
      plan = recorder.decide(gw::policy_query("layer", RoutePurpose::kClean, *policy, scores, false, rng));
    }
    gw::ReplayOptions replay;
    replay.weights = "recorded";
    gw::RouteReplayer replayer(scratch / "routes.bin", replay);
    const auto query = gw::policy_query("layer", RoutePurpose::kClean, *policy, other, false, rng);
    if (!weights) {
      expect_part(refusal([&] { replayer.decide(query); }), "record with weights = true");
      continue;
    }
    const auto forced = replayer.decide(query);
    EXPECT_TRUE(forced.token.equal(plan.token));
    EXPECT_TRUE(forced.weight.equal(plan.weight)) << "f64 weights keep their bits";
    EXPECT_FALSE(forced.weight.requires_grad());
  }
}

TEST(Replay, SaysWhatDoesNotFit) {
  const Scratch scratch;
  record(scratch, 2);
  const auto path = scratch / "routes.bin";
  const auto policy = top1(4), wide = top1(5);
  const gw::Rng rng(0);
  const auto ask = [&](const std::string& site, RoutePurpose purpose, const at::Tensor& scores,
                       const gw::Policy& by) {
    return refusal([&] {
      gw::RouteReplayer replayer(path, {});
      replayer.begin(frame_at(1));
      replayer.decide(gw::policy_query(site, purpose, by, scores, true, rng));
    });
  };
  EXPECT_EQ(ask("first", RoutePurpose::kClean, scores_at(1), *policy), "accepted");
  expect_part(ask("second", RoutePurpose::kClean, scores_at(1), *policy),
              "layer \"first\" (clean pass, 12 tokens, 4 experts), got layer \"second\"");
  expect_part(ask("first", RoutePurpose::kAttacked, scores_at(1), *policy),
              "got layer \"first\" (attacked pass, 12 tokens, 4 experts)");
  expect_part(ask("first", RoutePurpose::kClean, scores_at(1, 11), *policy),
              "got layer \"first\" (clean pass, 11 tokens");
  expect_part(ask("first", RoutePurpose::kClean, scores_at(1, 12, 5), *wide), "12 tokens, 5 experts)");
  gw::RouteReplayer replayer(path, {});
  expect_part(refusal([&] { batch(replayer, 3, scores_at(3)); }),
              "expected train step 3 batch 0 in " + path + ", got none: it has train of steps 1 to 2");
  auto moved = frame_at(1);
  moved.index = moved.index + 5;
  expect_part(refusal([&] { replayer.begin(moved); }),
              "expected the positions of train step 1: 1 at place 0, got 6");
  moved = frame_at(1);
  moved.labels = moved.labels.narrow(0, 0, 5);
  expect_part(refusal([&] { replayer.begin(moved); }),
              "expected the labels of train step 1: 12 of them, got 5");
  replayer.begin(frame_at(1));
  expect_part(refusal([&] { replayer.end(); }),
              "expected more decisions after train step 1 batch 0, decision 0");
  batch(replayer, 2, scores_at(2));
  expect_part(
      refusal([&] {
        replayer.decide(gw::policy_query("first", RoutePurpose::kClean, *policy, scores_at(1), true, rng));
      }),
      "expected no further decision");
  EXPECT_EQ(refusal([&] { replayer.expect_network({{"experts", 4}}); }), "accepted");
  expect_part(refusal([&] { replayer.expect_network({{"experts", 8}}); }), "whose \"experts\" is 4, got 8");
  expect_part(refusal([&] { gw::RouteReplayer(scratch / "absent", {}); }), "No such file");
  expect_part(refusal([&] { gw::RouteReplayer(scratch.path(), {}); }), "expected a regular file");
}

}  // namespace gw::test::recorder_cases
