// `gatewright inspect`, `--record-routes` and `--replay-routes` from outside.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "gatewright/base/json.h"
#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace {

namespace fs = std::filesystem;
using gw::Json;
using gw::test::cli;
using gw::test::expect;
using gw::test::read_file;
using gw::test::Scratch;

const std::string kTrain =
    "train advmoe --size tiny --arm adv_moe --quiet --threads 1 --set data.part=synthetic --set "
    "data.classes=3 --set data.height=8 --set "
    "data.width=8"
    " --set data.train=60 --set data.test=20 --set train_per_class=0 --set test_per_class=0 --set "
    "network.backbone_options.width=4 --set "
    "network.gate.width=2"
    " --set batch=16 --set epochs=1 ";

/// A recorded run, another that replays it, and a third with another seed.
const Scratch& runs() {
  static const Scratch scratch;
  static const bool made = [] {
    expect(cli(kTrain + "--record-routes --out " + (scratch / "first")), 0, "report: ");
    expect(cli(kTrain + "--record-routes --replay-routes " + (scratch / "first/routes.bin") + " --out " +
               (scratch / "again")),
           0, "report: ");
    expect(cli(kTrain + "--record-routes --seed 1 --out " + (scratch / "other")), 0, "report: ");
    return true;
  }();
  EXPECT_TRUE(made);
  return scratch;
}

Json shown(const std::string& arguments) {
  const auto answer =
      cli("inspect --json " + arguments + " 2> /dev/null");  // progress goes to standard error
  EXPECT_EQ(answer.code, 0) << answer.text;
  return Json::parsed(answer.text).value_or(Json());
}

}  // namespace

TEST(Inspect, ReplayedRunIsTheRecordedOne) {
  EXPECT_EQ(read_file(runs() / "again/routes.bin"), read_file(runs() / "first/routes.bin"));
  EXPECT_EQ(read_file(runs() / "again/metrics.jsonl"), read_file(runs() / "first/metrics.jsonl"));
  EXPECT_NE(read_file(runs() / "other/routes.bin"), read_file(runs() / "first/routes.bin"));
  expect(cli(kTrain + "--seed 1 --replay-routes " + (runs() / "first/routes.bin") + " --out " +
             (runs() / "wrong")),
         2, "replay: expected the positions of train step 1");
}

TEST(Inspect, ShowsARecordedRun) {
  const auto view = shown(runs() / "first");
  ASSERT_EQ(view["layers"].size(), 1u);
  const auto& layer = view["layers"][0];
  EXPECT_EQ(layer["layer"], "router");
  EXPECT_EQ(layer["experts"], 2);
  EXPECT_EQ(view["recording"]["end"], "whole");
  int64_t tokens = 0, rows = 0;
  for (const auto& s : layer["stats"]) {
    if (s["phase"] == "test" && s["purpose"] == "clean") tokens = s["tokens"], rows = s["rows"];
  }
  EXPECT_EQ(tokens, 20);
  EXPECT_EQ(rows, 20);
  // The evaluation counted the same images on its own.
  EXPECT_EQ(layer["affinity"]["test"]["clean"],
            Json::parse(read_file(runs() / "first/evaluation.json"))["affinity"]["clean"]);
  const auto text = cli("inspect " + (runs() / "first"));
  for (const char* part : {"dropped", "dead", "train, attacked", "test, clean", "flips %", "router, % of"})
    expect(text, 0, part);
  expect(cli("inspect --prometheus " + (runs() / "first")), 0,
         "gatewright_route_dropped_tokens_total{layer=\"router\",phase=\"train\"} 0");
  const auto told = read_file(runs() / "first/routes.prom");
  EXPECT_NE(told.find("gatewright_route_dead_experts"), std::string::npos);
  // A series means the same in both: the counters of training are those that the run left.
  const auto asked = cli("inspect --prometheus " + (runs() / "first")).text;
  for (const char* counter :
       {"\ngatewright_route_tokens_total{", "\ngatewright_route_dropped_tokens_total{"}) {
    const auto at = told.find(counter);
    ASSERT_NE(at, std::string::npos) << told;
    EXPECT_NE(asked.find(told.substr(at, told.find('\n', at + 1) + 1 - at)), std::string::npos)
        << asked << told.substr(at, 90);
  }
  EXPECT_NE(read_file(runs() / "first/report.html").find("id=\"routes\""), std::string::npos);
}

TEST(Inspect, ACheckpointRoutesItsTestImages) {
  const auto recorded = shown(runs() / "first"), routed = shown(runs() / "first/best.safetensors");
  EXPECT_EQ(routed["layers"][0]["affinity"]["test"]["clean"],
            recorded["layers"][0]["affinity"]["test"]["clean"]);
  const auto few = shown("--images 5 --attack pgd " + (runs() / "first"));
  EXPECT_EQ(few["layers"][0]["flips"]["test"]["compared"], 5);
  const auto differences = shown((runs() / "first") + " --against " + (runs() / "other"))["differences"];
  ASSERT_EQ(differences.size(), 1u);
  EXPECT_EQ(differences[0]["compared"], 20);
  EXPECT_EQ(shown((runs() / "first") + " --against " +
                  (runs() / "first/best.safetensors"))["differences"][0]["differ"],
            0);
  expect(cli("inspect " + (runs() / "first") + " --against " + (runs() / "other")), 0,
         "test samples that take other experts");
}

TEST(Inspect, RefusesWhatItCannotRead) {
  const Scratch scratch;
  expect(cli("inspect " + scratch.path()), 2, "expected routes.bin or best.safetensors in");
  expect(cli("inspect /nonexistent"), 2, "No such file");
  expect(cli("inspect " + (runs() / "first/metrics.jsonl")), 2, "");
  expect(cli("inspect " + (runs() / "first") + " --attack pdg"), 2, "did you mean \"pgd\"?");
  fs::copy(runs() / "first/routes.bin", scratch / "cut.bin");
  fs::resize_file(scratch / "cut.bin", fs::file_size(scratch / "cut.bin") - 5);
  expect(cli("inspect " + (scratch / "cut.bin")), 0, "the recording is cut after");
  gw::test::write_file(scratch / "bad.bin", "GWROUTES" + std::string(40, '\xff'));
  expect(cli("inspect " + (scratch / "bad.bin")), 2, "expected version 1");
  expect(cli(kTrain + "--set routes.recrod=true --out " + (scratch / "run")), 2, "did you mean \"record\"?");
}
