// Streams: every window is answered before it is learned, parts, alarms beside known drifts, forgetting.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "gatewright/base/registry.h"
#include "gatewright/train/prequential.h"
#include "gatewright/train/trainer.h"
#include "tests/support/refusal.h"

namespace gw::test::prequential_cases {

/// Rows of two classes; the label is the parity of the row.
TaskData data(int64_t rows, const std::vector<int64_t>& domain) {
  TaskData out;
  const auto label = at::arange(rows, at::kLong).remainder(2);
  out.train.fields = {{"x", at::arange(rows, at::kFloat).unsqueeze(1)},
                      {"label", label},
                      {"domain", at::tensor(domain, at::kLong)},
                      {"time", at::arange(rows, at::kDouble)}};
  out.test = out.train, out.classes = 2;
  return out;
}

/// Knows every row that it was taught, and is wrong about any other; forgets a domain when asked.
class Memory : public Learner {
 public:
  std::set<int64_t> known, forgets_after;
  std::set<int64_t> alarms;
  void begin(const LearnerSetup&) override {}
  Answered answer(const Batch& batch, const Rng&) override {
    auto answer = at::zeros({batch.size(), 2});
    for (int64_t i = 0; i < batch.size(); ++i) {
      const auto row = batch.at("x")[i][0].item<int64_t>(), label = batch.at("label")[i].item<int64_t>();
      answer[i][known.count(row) > 0 ? label : 1 - label] = 3.0;
    }
    return {{answer, {}}, batch};
  }
  LearnerNews learn(const Answered& answered, const StreamMoment& moment) override {
    const auto& batch = answered.batch;
    EXPECT_EQ(answered.output.answer.size(0), batch.size());
    if (forgets_after.count(moment.window) > 0) known.clear();
    for (int64_t i = 0; i < batch.size(); ++i) known.insert(batch.at("x")[i][0].item<int64_t>());
    return {{{"known", static_cast<double>(known.size())}}, alarms.count(moment.window) > 0};
  }
  std::vector<std::string> reports() const override { return {"known"}; }
};

std::shared_ptr<Task> classification() {
  TrainConfig config;
  config.task = Json{{"part", "classification"}};
  return make_task(config);
}

StreamOptions options(const Json& table) {
  StreamOptions o;
  parse_options("stream", table, o);
  return o;
}

std::vector<int64_t> domains(const std::vector<int64_t>& counts) {
  std::vector<int64_t> out;
  for (size_t d = 0; d < counts.size(); ++d)
    out.insert(out.end(), static_cast<size_t>(counts[d]), static_cast<int64_t>(d));
  return out;
}

TEST(Prequential, AWindowIsAnsweredBeforeItIsLearned) {
  Memory learner;
  const auto d = data(40, domains({40}));
  const auto out =
      run_stream(d, *classification(), learner, options({{"window", 10}, {"horizon", 20}}), Rng(0));
  EXPECT_EQ(out.metrics.at("accuracy"), 0.0) << "nobody knows a row before it was taught";
  EXPECT_EQ(out.metrics.at("known"), 40.0);
  EXPECT_EQ(out.curves.at("known").y, (std::vector<double>{10, 20, 30, 40}));
  EXPECT_EQ(out.curves.at("accuracy").x.size(), 4u);
  EXPECT_EQ(out.metrics.at("drifts"), 0.0);
  EXPECT_EQ(out.metrics.count("delay"), 0u);
}

TEST(Prequential, PartsAreMeasuredApart) {
  Memory learner;
  for (int64_t row = 20; row < 30; ++row) learner.known.insert(row);
  const auto d = data(40, domains({40}));
  const auto how = options({{"window", 10}, {"parts", {{"third", {2, 3}}, {"end", {2, 4}}}}});
  const auto out = run_stream(d, *classification(), learner, how, Rng(0));
  EXPECT_EQ(out.metrics.at("accuracy.third"), 1.0);
  EXPECT_EQ(out.metrics.at("accuracy.end"), 0.5);
  EXPECT_EQ(out.metrics.at("accuracy"), 0.25);
  EXPECT_EQ(out.metrics.at("known.third"), 30.0) << "at the end of the part";
  const auto names = stream_names(*classification(), learner, how);
  for (const auto& item : out.metrics)
    EXPECT_NE(std::find(names.metrics.begin(), names.metrics.end(), item.first), names.metrics.end())
        << item.first;
  const auto refused = [&](const Json& parts) {
    return refusal<ValueError>([&] {
      Memory other;
      run_stream(d, *classification(), other, options({{"window", 10}, {"parts", parts}}), Rng(0));
    });
  };
  expect_part(refused({{"late", {2, 5}}}), "within 4 windows");
  expect_part(refused({{"late", {3, 3}}}), "that ascend");
  expect_part(refused({{"late", "end"}}), "two whole numbers");
}

TEST(Prequential, AlarmsAreHeldAgainstTheDriftsThatAreKnown) {
  Memory learner;
  learner.alarms = {1, 4, 9};
  const auto d = data(120, domains({30, 30, 30, 30}));  // drifts at windows 3, 6, 9
  const auto out = run_stream(d, *classification(), learner, options({{"window", 10}}), Rng(0));
  EXPECT_EQ(out.metrics.at("alarms"), 3.0);
  EXPECT_EQ(out.metrics.at("drifts"), 3.0);
  EXPECT_EQ(out.metrics.at("false_alarms"), 1.0) << "before the first";
  EXPECT_EQ(out.metrics.at("missed"), 1.0) << "the one at window 6";
  EXPECT_EQ(out.metrics.at("delay"), 1.5) << "a window late, and at once";
}

TEST(Prequential, TasksAreTestedAfterEachAndForgettingIsTold) {
  Memory learner;
  const auto d = data(30, domains({10, 10, 10}));
  const auto how = options({{"window", 5}, {"tasks", true}, {"passes", 2}});
  learner.forgets_after = {8};  // the first window of the third task
  const auto out = run_stream(d, *classification(), learner, how, Rng(0));
  const auto& table = out.tables.at("forgetting");
  EXPECT_EQ(table.values[0][0], 1.0);
  EXPECT_TRUE(std::isnan(table.values[0][1])) << "not met yet";
  EXPECT_EQ(table.values[1][0], 1.0);
  EXPECT_EQ(table.values[2][0], 0.0);
  EXPECT_EQ(table.values[2][2], 1.0);
  EXPECT_EQ(out.metrics.at("learned_accuracy"), 1.0);
  EXPECT_NEAR(out.metrics.at("final_accuracy"), 1.0 / 3, 1e-12);
  EXPECT_EQ(out.metrics.at("forgetting"), 1.0);
  EXPECT_EQ(out.metrics.at("first_forgotten"), 1.0);
  EXPECT_EQ(out.metrics.at("accuracy"), 0.0) << "measured the first time only";
  auto without = d;
  without.test = d.test.rows(at::arange(10, at::kLong));
  expect_part(refusal<ValueError>([&] {
                Memory other;
                run_stream(without, *classification(), other, how, Rng(0));
              }),
              "expected test rows of every task, got none of task 1");
}

TEST(Prequential, BrokenOrderAndAStopEndIt) {
  Memory learner;
  auto d = data(40, domains({40}));
  d.train.fields["time"][7] = 1.0;
  const auto how = options({{"window", 10}});
  expect_part(refusal<ValueError>([&] { run_stream(d, *classification(), learner, how, Rng(0)); }),
              "time order broken");
  d.train.fields["time"][7] = 7.0;
  EXPECT_THROW(run_stream(d, *classification(), learner, how, Rng(0), {}, [] { return true; }), Interrupted);
}

TrainConfig stream_config(const Json& data, const Json& task, const Json& network) {
  TrainConfig config;
  config.data = data, config.task = task, config.network = network;
  config.objective = Json{{"part", "natural"}}, config.optimizer = Json{{"part", "adam"}};
  config.schedule = Json{{"shape", "constant"}, {"lr", 0.02}};
  return config;
}

std::pair<StreamOutcome, std::vector<std::string>> ran(const TrainConfig& config, const Json& learner,
                                                       const Json& how) {
  const auto d = load_data(config);
  const auto t = make_task(config);
  const auto who = make_chosen<Learner>(PartChoice(learner), {});
  who->begin({config, d, *t});
  return {run_stream(d, *t, *who, options(how), Rng(1)), stream_names(*t, *who, options(how)).metrics};
}

const Json kDrift{
    {"part", "drift_stream"}, {"rows", 6000}, {"drifts", {3000}}, {"turns", {120}}, {"bias", 0.0}};

TEST(Learners, GrowingAddsAnExpertAfterADriftAndOnlineDoesNot) {
  const auto config = stream_config(kDrift, {{"part", "fair_classification"}, {"constraint", "none"}},
                                    {{"part", "linear_experts"}});
  const Json how{{"window", 100}, {"parts", {{"before", {20, 30}}, {"after", {45, 60}}}}};
  const Json growing{
      {"part", "growing"}, {"steps", 3}, {"settle", 15}, {"drift", {{"reference", 10}, {"level", 0.01}}}};
  const auto [out, names] = ran(config, growing, how);
  EXPECT_EQ(out.metrics.at("false_alarms"), 0.0);
  EXPECT_GE(out.metrics.at("grown"), 1.0);
  EXPECT_LE(out.metrics.at("delay"), 3.0);
  EXPECT_GT(out.metrics.at("accuracy.after"), 0.85);
  EXPECT_EQ(out.tables.at("attribution").values.size(), 6u);
  for (const auto& item : out.metrics)
    EXPECT_NE(std::find(names.begin(), names.end(), item.first), names.end()) << item.first;
  const auto again = ran(config, growing, how).first;
  EXPECT_EQ(again.metrics, out.metrics) << "a seed gives the same bits";
  auto tabular = config;
  tabular.network = Json{{"part", "gated_mlp"}, {"width", 8}, {"gates", false}};
  expect_part(refusal<ValueError>([&] { ran(tabular, growing, how); }), "take linear_experts");
  EXPECT_GT(ran(tabular, {{"part", "online"}, {"steps", 3}, {"memory", 300}}, how)
                .first.metrics.at("accuracy.before"),
            0.8);
  auto cosine = config;
  cosine.schedule = Json{{"shape", "cosine"}, {"lr", 0.02}};
  expect_part(refusal<ValueError>([&] { ran(cosine, {{"part", "online"}}, how); }), "shape = \"constant\"");
}

TEST(Learners, TasksInSequenceAreForgottenWithoutAGuard) {
  const Json images{{"part", "synthetic"}, {"classes", 4}, {"height", 8},
                    {"width", 8},          {"train", 400}, {"test", 80}};
  const Json tasks{{"part", "image_tasks"}, {"images", images}, {"kind", "shuffled_labels"}, {"tasks", 3},
                   {"train", 300},          {"test", 60}};
  const auto net = [](bool gates) {
    return Json{{"part", "gated_mlp"}, {"width", 32}, {"gates", gates}, {"contexts", 4}};
  };
  const Json how{{"window", 50}, {"tasks", true}, {"passes", 8}};
  const Json task{{"part", "classification"}};
  auto config = stream_config(tasks, task, net(false));
  config.schedule = Json{{"shape", "constant"}, {"lr", 0.005}};
  const auto plain = ran(config, {{"part", "online"}}, how).first.metrics;
  EXPECT_GT(plain.at("learned_accuracy"), 0.8);
  EXPECT_GT(plain.at("forgetting"), 0.3);
  config.network = net(true);
  const auto gated = ran(config, {{"part", "gateon"}}, how).first.metrics;
  EXPECT_GT(gated.at("final_accuracy"), plain.at("final_accuracy") + 0.1);
  const auto inferred =
      ran(config, {{"part", "gateon"}, {"context", "inferred"}, {"recent", 10}}, how).first.metrics;
  EXPECT_EQ(inferred.at("missed"), 0.0);
  EXPECT_EQ(inferred.at("contexts"), 3.0);
  EXPECT_LE(inferred.at("delay"), 2.0);
  const auto held = ran(config, {{"part", "ewc"}, {"strength", 50.0}}, how).first.metrics;
  EXPECT_EQ(held.count("final_accuracy"), 1u);
  config.network = Json{{"part", "gated_mlp"}, {"width", 32}, {"contexts", 2}};
  expect_part(refusal<ValueError>([&] { ran(config, {{"part", "gateon"}}, how); }), "raise \"contexts\"");
}

}  // namespace gw::test::prequential_cases
