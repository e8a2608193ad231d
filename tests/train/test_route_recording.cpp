// Runs that are recorded, and runs that repeat recorded routes.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/grad_mode.h>

#include "gatewright/base/file.h"
#include "gatewright/routing/recording_reader.h"
#include "tests/support/refusal.h"
#include "tests/train/small_run.h"

namespace gw::test::route_recording_cases {

using gw::Json;
using gw::Trainer;

std::string bytes_of(const std::string& path) { return gw::read_file(path, 64 << 20); }

Json routes(const std::string& replay = "") { return {{"record", true}, {"replay", replay}}; }

gw::TrainConfig config_of(const std::string& objective, const Json& routes,
                          const std::string& routing = "image") {
  auto config = small_config(small_objective(objective));
  config.evaluation = Json{{"attacks", Json::array({"joint", "pgd"})},
                           {"attack_options", {{"joint", {{"steps", 1}}}, {"pgd", {{"steps", 2}}}}},
                           {"batch", 10}};
  config.routes = routes;
  auto network = config.network.json();
  network["routing"] = routing;
  if (routing == "layer") network["gate"] = {{"part", "pooled_linear"}};
  config.network = network;
  return config;
}

struct Finished {
  std::map<std::string, at::Tensor> weights;
  Json evaluation;
  std::string recording, summary;
};

Finished run(Trainer& trainer, const std::string& directory) {
  Recording observer;
  trainer.run({directory}, observer);
  Finished out;
  for (const auto& item : trainer.network().named_parameters())
    out.weights[item.key()] = item.value().detach().clone();
  for (const auto& item : trainer.network().named_buffers())
    out.weights[item.key()] = item.value().detach().clone();
  out.evaluation = trainer.evaluate_on_test(observer).details;
  out.recording = bytes_of(directory + "/" + gw::kRoutesFile);
  out.summary = bytes_of(directory + "/" + gw::kRouteSummaryFile);
  return out;
}

Finished run(const gw::TrainConfig& config, const std::string& directory) {
  Trainer trainer(config);
  return run(trainer, directory);
}

void scramble_router(gw::Network& network) {
  const at::NoGradGuard no_grad;
  for (auto& p : network.router_parameters()) p.neg_().add_(0.3);
}

std::string refusal(const gw::TrainConfig& config) {
  const Scratch scratch;
  try {
    run(config, scratch.path());
  } catch (const gw::ValueError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(RouteRecording, ARecordedRunReplaysToTheBit) {
  for (const auto& [objective, routing] :
       std::vector<std::pair<std::string, std::string>>{{"adv_moe", "image"}, {"trades", "layer"}}) {
    SCOPED_TRACE(objective + " " + routing);
    const Scratch first, second;
    const auto recorded = run(config_of(objective, routes(), routing), first.path());
    const auto replayed = run(config_of(objective, routes(first / gw::kRoutesFile), routing), second.path());
    for (const auto& [name, tensor] : recorded.weights)
      EXPECT_TRUE(tensor.equal(replayed.weights.at(name))) << name;
    EXPECT_EQ(recorded.evaluation, replayed.evaluation);
    EXPECT_EQ(recorded.recording, replayed.recording);
    EXPECT_EQ(recorded.summary, replayed.summary);
  }
}

TEST(RouteRecording, NoBitOfARunDependsOnTheNumberOfThreads) {
  const int before = at::get_num_threads();
  std::vector<Finished> runs;
  for (const int threads : {1, 2, 3}) {
    const Scratch scratch;
    at::set_num_threads(threads);
    const auto replay = runs.empty() ? std::string() : scratch / "first.bin";
    if (!runs.empty()) gw::write_atomic(replay, runs[0].recording);
    runs.push_back(run(config_of("adv_moe", routes(replay)), scratch.path()));
  }
  at::set_num_threads(before);
  for (size_t i = 1; i < runs.size(); ++i) {
    for (const auto& [name, tensor] : runs[0].weights)
      EXPECT_TRUE(tensor.equal(runs[i].weights.at(name))) << name << ", " << i + 1 << " threads";
    EXPECT_EQ(runs[0].evaluation, runs[i].evaluation);
    EXPECT_EQ(runs[0].recording, runs[i].recording);
  }
}

TEST(RouteRecording, RecordingChangesNothing) {
  const Scratch first, second;
  auto silent = config_of("adv_moe", Json::object());
  Trainer plain(silent),
      watched(config_of("adv_moe", {{"record", true}, {"scores", true}, {"weights", true}}));
  Recording a, b;
  plain.run({first.path()}, a);
  watched.run({second.path()}, b);
  EXPECT_EQ(a.records, b.records);
  const auto expected = gw::load_safetensors(first / gw::kLastCheckpoint),
             got = gw::load_safetensors(second / gw::kLastCheckpoint);
  for (const auto& [name, tensor] : expected.tensors) EXPECT_TRUE(tensor.equal(got.tensors.at(name))) << name;
  EXPECT_FALSE(std::filesystem::exists(first / gw::kRoutesFile));
}

// With TRADES the answer's path does not depend on the scores but through the choice: forced to the recorded
// routes, the experts must become the same bits although every decision of the present router would be
// another one.
TEST(RouteRecording, AnotherRouterFollowsTheRecordedRoutes) {
  const Scratch first, second, third;
  const auto recorded = run(config_of("trades", routes()), first.path());
  Trainer free(config_of("trades", routes())), forced(config_of("trades", routes(first / gw::kRoutesFile)));
  scramble_router(free.network());
  scramble_router(forced.network());
  const auto strayed = run(free, second.path()), followed = run(forced, third.path());
  EXPECT_EQ(recorded.recording, followed.recording);
  EXPECT_NE(recorded.recording, strayed.recording)
      << "the other router routes the same: this test would prove nothing";
  size_t differ = 0;
  for (const auto& [name, tensor] : recorded.weights) {
    if (name.rfind("router.", 0) == 0) continue;
    EXPECT_TRUE(tensor.equal(followed.weights.at(name))) << name;
    differ += tensor.equal(strayed.weights.at(name)) ? 0 : 1;
  }
  EXPECT_GT(differ, 0u);
  EXPECT_EQ(recorded.evaluation["clean_accuracy"], followed.evaluation["clean_accuracy"]);
  EXPECT_EQ(recorded.evaluation["affinity"]["clean"], followed.evaluation["affinity"]["clean"]);
}

TEST(RouteRecording, AnInterruptedRunRecordsTheSame) {
  const Scratch whole, cut;
  const auto config = config_of("adv_moe", routes());
  const auto expected = run(config, whole.path());
  Recording observer;
  observer.stop_after = 3;
  EXPECT_THROW(Trainer(config).run({cut.path(), false, &observer.stop}, observer), gw::Interrupted);
  {
    Recording more;
    more.stop_after = 6;  // one step beyond the checkpoint would not show anything: every interruption saves
    EXPECT_THROW(Trainer(config).run({cut.path(), true, &more.stop}, more), gw::Interrupted);
  }
  Trainer trainer(config);
  Recording rest;
  trainer.run({cut.path(), true}, rest);
  trainer.evaluate_on_test(rest);
  EXPECT_EQ(bytes_of(cut / gw::kRoutesFile), expected.recording);
  EXPECT_EQ(bytes_of(cut / gw::kRouteSummaryFile), expected.summary);
}

TEST(RouteRecording, HasEveryPassOfTheRun) {
  const Scratch scratch;
  const auto config = config_of("adv_moe", routes());
  run(config, scratch.path());
  gw::RecordingReader reader(scratch / gw::kRoutesFile);
  std::map<std::pair<gw::RoutePhase, gw::RoutePurpose>, int64_t> tokens;
  std::map<gw::RoutePhase, int64_t> frames;
  for (auto item = reader.next(); item != gw::RecordingReader::Item::kEnd; item = reader.next()) {
    if (item == gw::RecordingReader::Item::kFrame)
      ++frames[reader.frame().phase];
    else
      tokens[{reader.frame().phase, reader.decision().purpose}] += reader.decision().tokens;
  }
  using enum gw::RoutePhase;
  EXPECT_EQ(frames[kTrain], 8);                                  // 4 batches, 2 epochs
  EXPECT_EQ(frames[kValidation], 2);                             // 6 images after each
  EXPECT_EQ(frames[kTest], 3);                                   // 24 images in batches of 10
  EXPECT_EQ((tokens[{kTrain, gw::RoutePurpose::kClean}]), 108);  // 54 images, twice
  EXPECT_EQ((tokens[{kTrain, gw::RoutePurpose::kAttacked}]), 108);
  EXPECT_EQ((tokens[{kTest, gw::RoutePurpose::kClean}]), 24);
  EXPECT_EQ((tokens[{kTest, gw::RoutePurpose::kAttacked}]), 24);
  EXPECT_GT((tokens[{kTest, gw::RoutePurpose::kSearch}]), 24);
  EXPECT_EQ(reader.about()["name"], "small");
}

TEST(RouteRecording, RefusesToReplayWhatDoesNotFit) {
  const Scratch scratch;
  run(config_of("natural", routes()), scratch.path());
  const auto replay = routes(scratch / gw::kRoutesFile);
  auto config = config_of("natural", replay);
  config.seed = 1;
  expect_part(refusal(config), "replay: expected the positions of train step 1: ");
  config = config_of("natural", replay);
  config.batch = 10;
  expect_part(refusal(config), "replay: expected the positions of train step 1: 16 of them, got 10");
  expect_part(refusal(config_of("trades", replay)), "got layer \"router\" (search pass");
  config = config_of("natural", replay);
  auto network = config.network.json();
  network["experts"] = 3;
  config.network = network;
  expect_part(refusal(config), "whose \"experts\" is 2, got 3");
  config = config_of("natural", routes("/nonexistent"));
  EXPECT_THROW(run(config, scratch.path()), gw::IoError);
  EXPECT_THROW(config_of("natural", {{"recrod", true}}), gw::ValueError);
}

}  // namespace gw::test::route_recording_cases
