// What a recording is summed up to, and how it leaves for other programs.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/report/inspect.h"
#include "gatewright/report/report.h"
#include "gatewright/routing/policy.h"
#include "gatewright/runs/route_export.h"
#include "tests/report/markup.h"
#include "tests/runs/fixture_runs.h"
#include "tests/runs/scratch.h"

using namespace gw;
using gw::test::read_file;
using gw::test::Scratch;

namespace gw::test::route_view_cases {

at::Tensor ids(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

/// A tap whose decisions are given.
class Given : public RouteTap {
 public:
  RoutingPlan next;
  RoutingPlan decide(const RouteQuery&) override { return next; }
};

struct Writer {
  std::shared_ptr<Given> given = std::make_shared<Given>();
  RouteRecorder recorder;

  explicit Writer(const std::string& directory)
      : recorder({directory + "/routes.bin", directory + "/routes.jsonl"},
                 {{"name", "test"}, {"arm", "wide"}, {"seed", 3}, {"class_names", {"cat", "dog"}}}, {},
                 given) {}

  void decide(const std::string& site, RoutePurpose purpose, const std::vector<int64_t>& experts,
              int64_t k = 1, int64_t count = 4) {
    const auto expert = ids(experts).view({-1, k});
    given->next = make_plan(expert, at::ones(expert.sizes()), count);
    RouteQuery query;
    query.site = site, query.purpose = purpose, query.experts = count;
    recorder.decide(query);
  }
};

/// Two layers of four and two experts; 6 steps of training, one batch of validation and two of test.
void write_recording(const std::string& directory) {
  Writer w(directory);
  for (int64_t step = 1; step <= 6; ++step) {
    w.recorder.begin({RoutePhase::kTrain, step, 0, 0, ids({0, 1, 0, 1}), ids({4, 5, 6, 7})});
    w.decide("first", RoutePurpose::kClean, {0, 1, step > 3 ? 0 : 2, 1});
    w.decide("second", RoutePurpose::kClean, {0, 0, 0, 0}, 1, 2);
    w.decide("first", RoutePurpose::kSearch, {3, 3, 3, 3});
    w.decide("first", RoutePurpose::kAttacked, {0, 1, 2, 3});
    w.recorder.end();
  }
  w.recorder.begin({RoutePhase::kValidation, 6, 0, 0, ids({1}), ids({9})});
  w.decide("first", RoutePurpose::kClean, {2});
  w.recorder.end();
  for (int64_t batch = 0; batch < 2; ++batch) {
    w.recorder.begin(
        {RoutePhase::kTest, 6, 0, batch, ids({0, 1, 1}), ids({3 * batch, 3 * batch + 1, 3 * batch + 2})});
    w.decide("first", RoutePurpose::kClean, {0, 1, -1});
    w.decide("second", RoutePurpose::kClean, {0, 1, 1}, 1, 2);
    w.recorder.end();
  }
}

double cell(const Json& view, const char* layer, const char* phase, const char* purpose, const char* what) {
  for (const auto& l : view["layers"]) {
    if (l["layer"] != layer) continue;
    for (const auto& s : l["stats"]) {
      if (s["phase"] == phase && s["purpose"] == purpose) return s[what].get<double>();
    }
  }
  return std::nan("");
}

TEST(RouteView, SumsUpLayersPhasesAndPurposes) {
  const Scratch scratch;
  write_recording(scratch.path());
  const auto view = read_routes(scratch / "routes.bin");
  const auto json = to_json(view);
  EXPECT_EQ(view.train_steps, 6);
  EXPECT_EQ(view.batches, 9);
  ASSERT_EQ(view.layers.size(), 2u);
  EXPECT_EQ(cell(json, "first", "train", "clean", "tokens"), 24);
  EXPECT_EQ(cell(json, "first", "train", "clean", "dead"), 1);
  EXPECT_EQ(cell(json, "first", "test", "clean", "dropped"), 2);
  EXPECT_EQ(cell(json, "first", "test", "clean", "rows"), 4);
  EXPECT_EQ(cell(json, "second", "train", "clean", "max_over_mean"), 2);
  EXPECT_EQ(cell(json, "second", "train", "clean", "entropy"), 0);
  EXPECT_NEAR(cell(json, "second", "test", "clean", "variation"), 1.0 / 3, 1e-12);
  EXPECT_TRUE(std::isnan(cell(json, "first", "train", "search", "tokens"))) << "searches are no data";
  const auto& first = view.layers[0];
  EXPECT_EQ(first.shown_phase(), RoutePhase::kTest);
  EXPECT_EQ((first.affinity.at({RoutePhase::kTest, RoutePurpose::kClean})),
            (RouteTable{{2, 0}, {0, 2}, {0, 0}, {0, 0}}));
  EXPECT_EQ((first.affinity.at({RoutePhase::kTrain, RoutePurpose::kAttacked})),
            (RouteTable{{6, 0}, {0, 6}, {6, 0}, {0, 6}}));
  EXPECT_EQ(first.flips.at(RoutePhase::kTrain),
            (std::pair<int64_t, int64_t>{24, 9}));  // one of four at first, two of four later
  EXPECT_EQ(first.onward.at(RoutePhase::kTest), (RouteTable{{2, 0}, {0, 2}, {0, 0}, {0, 0}}));
  EXPECT_EQ(first.sample.size(), 6u);
  EXPECT_TRUE(first.sample.at(2).empty());
  EXPECT_EQ(first.sample.at(4), std::vector<int32_t>{1});
  ASSERT_EQ(first.bins.size(), 6u);
  EXPECT_EQ(first.bins[0].load, (std::vector<int64_t>{1, 2, 1, 0}));
  EXPECT_EQ(first.bins[5].load, (std::vector<int64_t>{2, 2, 0, 0}));
  EXPECT_EQ(first.bins[5].label, (RouteTable{{2, 0}, {0, 2}, {0, 0}, {0, 0}}));
  EXPECT_EQ(first.bins[5].flipped, 2);
}

TEST(RouteView, ExpertsThatServeTogether) {
  const Scratch scratch;
  {
    Writer w(scratch.path());
    w.decide("layer", RoutePurpose::kClean, {0, 1, 0, 1, 2, 0, 3, -1}, 2);
  }
  const auto view = read_routes(scratch / "routes.bin");
  EXPECT_EQ(view.layers[0].shown_phase(), RoutePhase::kInference);
  EXPECT_EQ(view.layers[0].together.at(RoutePhase::kInference),
            (RouteTable{{0, 2, 1, 0}, {2, 0, 0, 0}, {1, 0, 0, 0}, {0, 0, 0, 0}}));
}

TEST(RouteView, LongRunsKeepASmallNumberOfEqualSlices) {
  RouteTally tally;
  const RouteSite site{"layer", 2};
  RouteDecision decision;
  decision.tokens = 2, decision.expert = {0, 1}, decision.token = {0, 1};
  for (int64_t step = 1; step <= 1000; ++step) {
    tally.frame({RoutePhase::kTrain, step, 0, 0, {}, {}});
    tally.decision(site, decision);
  }
  const auto view = tally.finish();
  const auto& bins = view.layers[0].bins;
  EXPECT_LE(bins.size(), kRouteBins);
  EXPECT_GE(bins.size(), kRouteBins / 2);
  int64_t rows = 0, next = 1;
  for (const auto& slice : bins) {
    EXPECT_EQ(slice.first_step, next);
    EXPECT_EQ(slice.load[0], slice.last_step - slice.first_step + 1);
    if (&slice != &bins.back()) {
      EXPECT_EQ(slice.load[0], bins[0].load[0]);
    }
    next = slice.last_step + 1;
    rows += slice.load[0] + slice.load[1];
  }
  EXPECT_EQ(rows, 2000);
}

TEST(RouteView, HostileSizesAreRefusedBeforeTheyCost) {
  RouteTally tally;
  RouteDecision decision;
  decision.tokens = 2'000'000'000;
  EXPECT_THROW(tally.decision({"layer", 2}, decision), ValueError);
}

TEST(RouteView, DifferencesBetweenTwoRuns) {
  const Scratch a, b;
  write_recording(a.path());
  {
    Writer w(b.path());
    w.recorder.begin({RoutePhase::kTest, 6, 0, 0, {}, ids({5, 1, 77})});
    w.decide("first", RoutePurpose::kClean, {3, 1, 0});
    w.decide("other", RoutePurpose::kClean, {3, 1, 0});
    w.recorder.end();
  }
  const auto differences = compare_routes(read_routes(a / "routes.bin"), read_routes(b / "routes.bin"));
  ASSERT_EQ(differences.size(), 1u);
  EXPECT_EQ(differences[0].layer, "first");
  EXPECT_EQ(differences[0].compared, 2);  // samples 1 and 5
  EXPECT_EQ(differences[0].differ, 1);
}

TEST(Inspect, TablesForTheTerminal) {
  const Scratch scratch;
  write_recording(scratch.path());
  const auto view = inspect_routes(scratch.path(), {});
  const auto rows = statistics_rows(view);
  ASSERT_EQ(rows.size(), 1u + 6);
  EXPECT_EQ(rows[2], (std::vector<std::string>{"first", "train, attacked", "4", "24", "1.000", "0.000",
                                               "1.000", "0", "0", "37.5"}));
  EXPECT_EQ(affinity_rows(view, view.layers[0])[1],
            (std::vector<std::string>{"cat", "100.0", "0.0", "0.0", "0.0"}));
  EXPECT_EQ(routes_origin(view), "wide, seed 3: 6 training steps, 9 batches in all");
  std::filesystem::resize_file(scratch / "routes.bin",
                               std::filesystem::file_size(scratch / "routes.bin") - 3);
  EXPECT_NE(routes_origin(inspect_routes(scratch / "routes.bin", {})).find("the recording is cut after"),
            std::string::npos);
  EXPECT_THROW(inspect_routes("/nonexistent", {}), Error);
  const Scratch empty;
  EXPECT_THROW(inspect_routes(empty.path(), {}), ValueError);
}

TEST(Prometheus, HasSevenSeriesPerLayerAndAlwaysTheDroppedTokens) {
  RouteStats even;
  even.tokens = 10, even.load = {5, 5};
  RouteStats dead;
  dead.tokens = 10, dead.dropped = 2, dead.load = {8, 0};
  const auto text = prometheus_text(
      {{"router", even, even, RoutePhase::kTrain}, {"odd \"name\"\\\n", dead, dead, RoutePhase::kTrain}},
      "latest");
  EXPECT_NE(text.find("# TYPE gatewright_route_dropped_tokens_total "
                      "counter\ngatewright_route_dropped_tokens_total{layer=\"router\",phase=\"train\"} 0\n"),
            std::string::npos)
      << text;
  EXPECT_NE(
      text.find(
          "gatewright_route_dropped_tokens_total{layer=\"odd \\\"name\\\"\\\\\\n\",phase=\"train\"} 2\n"),
      std::string::npos)
      << text;
  EXPECT_NE(text.find("gatewright_route_dead_experts{layer=\"odd "
                      "\\\"name\\\"\\\\\\n\",phase=\"train\",window=\"latest\"} 1\n"),
            std::string::npos)
      << text;
  EXPECT_NE(
      text.find(
          "gatewright_route_load_max_over_mean{layer=\"router\",phase=\"train\",window=\"latest\"} 1\n"),
      std::string::npos)
      << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 7 * (2 + 2));
}

TEST(Prometheus, CardinalityIsBounded) {
  std::vector<LayerRoutes> layers;
  RouteStats stats;
  stats.tokens = 3, stats.dropped = 1, stats.load.assign(512, 1);
  for (int i = 0; i < 1000; ++i)
    layers.push_back({"layer " + std::to_string(i), stats, stats, RoutePhase::kTrain});
  layers.back().window.load.assign(512, 0);
  layers.back().window.load[7] = 9;
  const auto text = prometheus_text(layers, "all");
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'),
            static_cast<std::ptrdiff_t>(7 * (2 + kPrometheusLayers + 1)));
  EXPECT_NE(text.find("gatewright_route_dropped_tokens_total{layer=\"other\",phase=\"train\"} 744\n"),
            std::string::npos);
  EXPECT_NE(
      text.find("gatewright_route_load_max_over_mean{layer=\"other\",phase=\"train\",window=\"all\"} 512\n"),
      std::string::npos);
}

TEST(RouteExporter, WritesScalarsHistogramsAndPrometheus) {
  const Scratch scratch;
  RunDirectory::Options options;
  options.wall_time_s = [] { return 1.0; };
  RunDirectory directory(scratch / "run", {{"name", "test"}}, options);
  RouteExporter exporter(directory);
  RouteSummary summary;
  summary.phase = RoutePhase::kTrain, summary.step = 10, summary.site = "router";
  summary.stats.tokens = 8, summary.stats.load = {6, 2};
  exporter.add(summary);
  summary.phase = RoutePhase::kTest;
  exporter.add(summary);  // an evaluation is no training
  exporter.write();
  const auto events = read_file(scratch / "run/events.out.tfevents.gatewright");
  EXPECT_NE(events.find(tfrecord_frame(encode_scalar_event(1, 10, "routes/router/max_over_mean", 1.5f))),
            std::string::npos);
  EXPECT_NE(events.find(tfrecord_frame(encode_scalar_event(1, 10, "routes/router/dropped_tokens", 0))),
            std::string::npos);
  EXPECT_NE(events.find(
                tfrecord_frame(encode_histogram_event(1, 10, "routes/router/load", make_histogram({6, 2})))),
            std::string::npos);
  const auto text = read_file(scratch / "run/routes.prom");
  EXPECT_NE(text.find("gatewright_route_tokens_total{layer=\"router\",phase=\"train\"} 8\n"),
            std::string::npos)
      << text;
  exporter.write();  // nothing new: the window stays
  EXPECT_EQ(read_file(scratch / "run/routes.prom"), text);
}

TEST(ReportRoutes, SectionHasTheRecordingsNumbers) {
  const Scratch scratch;
  std::filesystem::create_directories(scratch / "wide-seed3");
  write_recording(scratch / "wide-seed3");
  gw::test::write_file(scratch / "wide-seed3/recipe.json", R"({"arm": "wide", "seed": 3})");
  const auto html = render_report({scratch / "wide-seed3"});
  const auto page = gw::test::read_markup(html);
  EXPECT_TRUE(page.ids.count("routes"));
  EXPECT_TRUE(page.ids.count("moved-0-layers"));
  EXPECT_TRUE(page.ids.count("moved-0-0"));
  const auto has = [&](const std::string& part) { return html.find(part) != std::string::npos; };
  EXPECT_TRUE(has(
      "<th scope=\"row\">first</th><td>train, attacked</td><td class=\"n\">4</td><td class=\"n\">24</td>"));
  EXPECT_TRUE(has("<title>E0, cat: 2</title>"));
  EXPECT_TRUE(has("\"steps\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\"]"));
  EXPECT_TRUE(
      has("[250,500,250,0,1000,0,-1,-1]"));  // step 1: the first layer's four experts, the second's two
  EXPECT_TRUE(has("<strong>From first to second</strong>"));
  EXPECT_FALSE(has("lost"));
}

}  // namespace gw::test::route_view_cases
