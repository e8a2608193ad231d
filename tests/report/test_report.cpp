#include <gtest/gtest.h>

#include <limits>

#include "gatewright/base/base64.h"
#include "gatewright/base/error.h"
#include "gatewright/report/arm_standing.h"
#include "gatewright/report/charts.h"
#include "gatewright/report/html.h"
#include "gatewright/report/png.h"
#include "gatewright/report/report.h"
#include "tests/report/markup.h"
#include "tests/runs/fixture_runs.h"
#include "tests/runs/scratch.h"
#include "tests/support/refusal.h"

using namespace gw;
using namespace gw::test;

namespace gw::test::report_cases {

const char* const kHostile = "</title><script>alert(1)</script>\" onload='x' &amp; \x01\xff";

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

FixtureRun small_run() {
  FixtureRun run;
  run.train_records = 40;
  return run;
}

TEST(Report, CheckPageIsWellFormedAndHasItsNumbers) {
  Scratch scratch;
  write_fixture_check(scratch / "check");
  const std::string html = render_report({scratch / "check"});
  const Markup page = read_markup(html);
  EXPECT_EQ(page.ids,
            (std::set<std::string>{"check", "check-title", "cost", "cost-title", "curves", "curves-title",
                                   "headline", "headline-title", "results", "results-title", "routing",
                                   "routing-title", "runs", "runs-title", "samples", "samples-title"}));
  for (const std::string& reference : page.references)
    EXPECT_EQ(reference.rfind("data:", 0), 0u) << reference.substr(0, 40);
  EXPECT_EQ(page.elements.at("img"), 16);
  EXPECT_EQ(page.elements.at("caption"), page.elements.at("table"));
  EXPECT_TRUE(contains(page.text, "2 of 3 marks hold."));
  EXPECT_TRUE(contains(page.text, "3 arms, 6 runs"));
  EXPECT_TRUE(contains(page.text, "gatewright check tiny_routing --size small"));
  // Robust accuracy of top-1 routing: 0.534 and 0.538; the best of the column.
  EXPECT_TRUE(contains(html, "<b>53.6 %</b><small>53.4 % … 53.8 %</small>"));
  EXPECT_TRUE(contains(html, "<b>91.9 %</b><small>91.8 % … 92.0 %</small>"));
  EXPECT_TRUE(contains(html, "<td class=\"n\" data-heading=\"multiply-adds\">60.1 M</td>"));
  EXPECT_EQ(occurrences(html, "://"), 1u);  // the name space of SVG in the script, which nobody fetches
  EXPECT_LT(html.size(), 400'000u);
}

TEST(Report, PicturesAndCountsAreTheRuns) {
  Scratch scratch;
  FixtureRun run = small_run();
  write_fixture_run(scratch / "run", run);
  const std::string html = render_report({scratch / "run"});
  EXPECT_TRUE(contains(html, base64_encode(encode_png(fixture_pixels(3, 32, 5, true), 3, 32, 32))));
  EXPECT_TRUE(contains(html, "<title>E0, car: 367</title>"));  // floor(1000 / e)
  EXPECT_TRUE(contains(html, "E1 (moved)"));
  EXPECT_TRUE(contains(html, "✗ car"));
  EXPECT_TRUE(contains(
      html,
      "Clean accuracy over epoch. top-1 routing, seed 0, validation ends at 90.6 %."));  // 0.912 · (1 − e⁻⁵)
  EXPECT_TRUE(contains(html, "dense: all experts: 222 M. top-1 routing: 60.1 M."));
  EXPECT_TRUE(contains(html, "dense: all experts: 0.392 ms. top-1 routing: 0.122 ms."));
}

TEST(Report, FirstSaysWhichArmIsBestByHowMuchAndAtWhatPrice) {
  Scratch scratch;
  write_fixture_check(scratch / "check");
  const Markup page = read_markup(render_report({scratch / "check"}));
  // The lowest robust accuracy, means of two seeds: 0.534 and 0.538, 0.521 and 0.525, 0.500 and 0.504.
  EXPECT_TRUE(contains(page.text,
                       "top-1 routing is best by worst-case accuracy: 53.6 %, 1.3 points above random "
                       "routing (52.3 %); 2 seeds."));
  EXPECT_TRUE(contains(page.text,
                       "top-1 routing gains 3.4 points over dense, at 0.27 of the dense network's "
                       "multiply-adds, 0.31 times its time at batch 1 (faster)"));
  EXPECT_LT(page.text.find("is best by"), page.text.find("2 of 3 marks hold."));
}

TEST(Report, WhatLosesIsSaidInWords) {
  Scratch scratch;
  FixtureRun dense = small_run(), mixture = small_run();
  dense.arm = "dense", dense.routed = false, dense.robust = 0.530;
  mixture.robust = 0.368;
  write_fixture_run(scratch / "check/dense-seed0", dense);
  write_fixture_run(scratch / "check/mixture-seed0", mixture);
  auto slow = fixture_evaluation(mixture);
  slow.images = 500;
  slow.timing[1] = {3.374, 2.41};
  write_file(scratch / "check/mixture-seed0/evaluation.json", dump_json(to_json(slow)));
  write_file(scratch / "check/check.json",
             R"json({"arms": [{"arm": "dense", "title": "AT (Dense)", "seeds": 1, "metrics": {}},
      {"arm": "top-1 routing", "title": "AdvMoE", "seeds": 1, "metrics": {"robust_accuracy": {"mean": 0.368, "min": 0.368, "max": 0.368},
                                                     "robust.worst_case": {"mean": 0.368, "min": 0.368, "max": 0.368},
                                                     "time_ratio.1": {"mean": 1.4, "min": 1.4, "max": 1.4}}}],
      "rows": [{"claim": "+1 to +4 points over the dense CNN", "mark": "≥ 1 points", "measured": "-16.2 points", "spread": "one seed",
                "verdict": "not judged", "order": true, "meets": false}]})json");
  const std::string html = render_report({scratch / "check"});
  const Markup page = read_markup(html);
  EXPECT_TRUE(contains(
      page.text, "AT (Dense) is best by worst-case accuracy: 53.0 %, 16.2 points above AdvMoE (36.8 %)"));
  EXPECT_TRUE(contains(page.text,
                       "AdvMoE loses 16.2 points to AT (Dense), at 0.27 of the dense network's "
                       "multiply-adds, 1.40 times its time at batch 1 (slower)"));
  EXPECT_TRUE(contains(
      page.text, "The paper's order does not appear here: its one comparison of arms does not come out."));
  EXPECT_TRUE(contains(page.text, "1 more is measured but not judged."));
  EXPECT_TRUE(contains(
      page.text,
      "40 training steps: a test of the plumbing, the networks are untrained; guessing gives 10.0 %."));
  EXPECT_EQ(occurrences(html, ">robust, worst case<"), 1u);  // recorded twice, shown once
  EXPECT_TRUE(contains(page.text, "time / dense, batch 1 (above 1: slower)"));
  EXPECT_TRUE(contains(html, "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'"));
  EXPECT_TRUE(contains(html, "download=\"results.csv\" href=\"data:text/csv;charset=utf-8;base64,"));
}

TEST(Report, TheLeadIsJudgedByWhatWasRepeated) {
  Scratch scratch;
  const auto page = [&](const std::string& folder, int64_t seeds, int64_t images) {
    for (int64_t seed = 0; seed < seeds; ++seed) {
      for (const char* arm : {"a", "b"}) {
        FixtureRun run = small_run();
        run.arm = arm, run.seed = seed, run.samples = run.routed = false;
        run.robust = (std::string(arm) == "a" ? 0.50 : 0.49) + 0.02 * static_cast<double>(seed);
        const std::string directory = scratch / (folder + "/" + arm + "-seed" + std::to_string(seed));
        write_fixture_run(directory, run);
        auto evaluation = fixture_evaluation(run);
        evaluation.images = images;
        write_file(directory + "/evaluation.json", dump_json(to_json(evaluation)));
      }
    }
    write_file(scratch / (folder + "/check.json"), R"({"rows": []})");
    return read_markup(render_report({scratch / folder})).text;
  };
  EXPECT_TRUE(contains(page("one", 1, 200),
                       "Their 95 % intervals over the test images overlap: the lead may be chance."));
  EXPECT_TRUE(contains(page("several", 2, 200), "Their ranges over seeds overlap: the lead may be chance."));
  EXPECT_FALSE(contains(page("unknown", 1, 0), "may be chance"));
}

TEST(Report, ARouterWithoutCountedMultiplyAddsIsARouter) {
  Scratch scratch;
  const FixtureRun run = small_run();
  write_fixture_run(scratch / "run", run);
  auto evaluation = fixture_evaluation(run);
  evaluation.router_macs = 0;  // a linear gate on pooled features
  write_file(scratch / "run/evaluation.json", dump_json(to_json(evaluation)));
  EXPECT_TRUE(
      contains(make_report({scratch / "run"}).in_short.back(), "0.26 of the dense network's multiply-adds"));
}

TEST(Report, TheWorstCaseIsNoAttack) {
  Scratch scratch;
  const FixtureRun run = small_run();
  write_fixture_run(scratch / "run", run);
  auto evaluation = fixture_evaluation(run);
  evaluation.robust_accuracy = {{"pgd", 0.5}, {"square", 0.6}, {"worst_case", 0.45}};
  write_file(scratch / "run/evaluation.json", dump_json(to_json(evaluation)));
  EXPECT_TRUE(contains(render_report({scratch / "run"}), "<dt>Attacks</dt><dd>pgd, square</dd>"));
}

TEST(Report, TheRadiusIsThatOfTheTaskAndOnlyOfRunsUnderAttack) {
  Scratch scratch;
  write_fixture_run(scratch / "run", small_run());
  const auto radius = [&](const std::string& recipe) {
    write_file(scratch / "run/recipe.json", recipe);
    const auto html = render_report({scratch / "run"});
    const std::string head = "<dt>Attack radius ε</dt><dd>";
    const auto at = html.find(head);
    return at == std::string::npos
               ? "none"
               : html.substr(at + head.size(), html.find('<', at + head.size()) - at - head.size());
  };
  EXPECT_EQ(radius(R"({"task": {"part": "image_classification", "epsilon": 0.25}})"), "0.25");
  EXPECT_EQ(radius(R"({"task": {"part": "image_classification"}, "epsilon": 0.125})"),
            "0.125");  // of an old run
  EXPECT_EQ(radius("{}"), "0.0314");
  auto evaluation = fixture_evaluation(small_run());
  evaluation.robust_accuracy.clear();
  write_file(scratch / "run/evaluation.json", dump_json(to_json(evaluation)));
  EXPECT_EQ(radius("{}"), "none");
}

TEST(Report, ARunSaysWhereItComesFrom) {
  Scratch scratch;
  write_fixture_run(scratch / "run", small_run());
  const About about{"Routing on small images", "Top-1", "gatewright train tiny --arm top1", "2 cores",
                    "2026-11-29"};
  write_file(scratch / "run/about.json", dump_json(to_json(about)));
  const ReportPage page = make_report({scratch / "run"});
  const std::string text = read_markup(page.html).text;
  for (const char* part : {"Routing on small images", "gatewright train tiny --arm top1", "2 cores",
                           "2026-11-29", "Top-1, seed 0"})
    EXPECT_TRUE(contains(text, part)) << part;
  ASSERT_GE(page.in_short.size(), 2u);
  EXPECT_TRUE(contains(page.in_short[0], "a test of the plumbing"));  // 40 steps: said before any comparison
  EXPECT_EQ(page.in_short[1], "Top-1 reaches 53.4 % worst-case accuracy (one seed).");
  for (const std::string& sentence : page.in_short) EXPECT_TRUE(contains(text, sentence)) << sentence;
  EXPECT_LT(text.find("Top-1 reaches"), text.find("2 cores"));  // the sentence before the facts
}

TEST(Report, SamplesStandSideBySideAndOpenWhereTheArmsDiffer) {
  Scratch scratch;
  FixtureRun routed = small_run(), dense = small_run();
  dense.arm = "dense", dense.routed = false;
  write_fixture_run(scratch / "c/routed-seed0", routed);
  write_fixture_run(scratch / "c/dense-seed0", dense);
  auto samples = fixture_samples(dense);
  samples[1].predicted_attacked = 7;  // the routed arm says 1
  write_file(scratch / "c/dense-seed0/samples.json", dump_json(to_json(samples)));
  write_file(scratch / "c/check.json", R"({"rows": []})");
  const std::string html = render_report({scratch / "c"});
  const Markup page = read_markup(html);
  EXPECT_TRUE(contains(page.text, "The arms differ on 1 of 8 images"));
  EXPECT_TRUE(contains(page.text, "7 more images"));
  EXPECT_EQ(page.elements.at("img"), 8 * 3);  // each image once clean and once per arm
  const size_t open = html.find("<div class=\"samples wide\">"), folded = html.find("7 more images");
  const std::string first = html.substr(open, folded - open);
  EXPECT_EQ(occurrences(first, "<figure"), 1u);
  EXPECT_TRUE(contains(first, "<figcaption>car</figcaption>"));
  EXPECT_TRUE(contains(first, "attacked ✗ horse"));
  EXPECT_TRUE(contains(html, "E0 → E1 (moved)"));
}

TEST(Report, ImagesThatCannotBeDrawnAreNotDrawn) {
  Scratch scratch;
  write_fixture_run(scratch / "run", small_run());
  auto samples = fixture_samples(small_run());
  for (gw::Sample& sample : samples) {
    sample.channels = 2;
    sample.clean.resize(2 * 32 * 32), sample.attacked.resize(2 * 32 * 32);
  }
  write_file(scratch / "run/samples.json", dump_json(to_json(samples)));
  const Markup page = read_markup(render_report({scratch / "run"}));
  EXPECT_EQ(page.elements.count("img"), 0u);
  EXPECT_TRUE(contains(page.text, "Images of 2 channels are not drawn"));
}

TEST(Report, TheTrainersWholeEpochsAreSpreadOverTheirSteps) {
  RunData run;
  for (int64_t step = 1; step <= 8; ++step) {
    run.records.push_back({{"step", step},
                           {"epoch", (step - 1) / 4},
                           {"kind", "train"},
                           {"loss", 1.0 / static_cast<double>(step)}});
    if (step % 4 == 0)
      run.records.push_back(
          {{"step", step}, {"epoch", (step - 1) / 4}, {"kind", "validation"}, {"loss", 0.5}});
  }
  EXPECT_EQ(steps_per_epoch(run), 4);
  EXPECT_EQ(curve_points(run, "loss", -1, "train", true, 200).x,
            (std::vector<double>{0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2}));
  EXPECT_EQ(curve_points(run, "loss", -1, "validation", true, 200).x, (std::vector<double>{1, 2}));
  run.records.resize(3);  // stopped inside the first epoch: nothing tells its length
  ReportData data;
  data.runs = {run};
  EXPECT_FALSE(has_epochs(data));
  EXPECT_EQ(curve_points(run, "loss", -1, "train", false, 200).x, (std::vector<double>{1, 2, 3}));
}

TEST(Report, HostileTextStaysText) {
  Scratch scratch;
  FixtureRun run = small_run();
  run.arm = kHostile;
  run.classes.assign(10, kHostile);
  const std::string directory = scratch / "a<b>&\"c'";
  write_fixture_run(directory, run);
  Json check = {{"title", kHostile},
                {"command", kHostile},
                {"rows", {{{"claim", kHostile}, {"verdict", kHostile}, {"note", kHostile}}}}};
  write_file(scratch / "check.json", dump_json(check));
  const std::string html = render_report({scratch / ""});
  const Markup page = read_markup(html);
  EXPECT_EQ(page.elements.at("script"), 1);
  EXPECT_EQ(page.elements.at("title"), 1 + 2 * 40);  // the page's and one per cell of the heat maps
  EXPECT_FALSE(contains(html, "<script>alert"));
  EXPECT_TRUE(contains(page.text, "</title><script>alert(1)</script>\" onload='x' &amp; \uFFFD\uFFFD"));
  EXPECT_TRUE(contains(page.text, "a<b>&\"c'"));
}

TEST(Report, MissingPiecesLeaveTheirSectionsOut) {
  Scratch scratch;
  FixtureRun dense = small_run();
  dense.routed = dense.samples = false;
  write_fixture_run(scratch / "dense", dense);
  Markup page = read_markup(render_report({scratch / "dense"}));
  EXPECT_FALSE(page.ids.count("routing") || page.ids.count("samples") || page.ids.count("check"));
  EXPECT_TRUE(page.ids.count("cost") && page.ids.count("curves") && page.ids.count("results"));

  std::filesystem::create_directories(scratch / "young");
  write_file(scratch / "young/recipe.json", "{}");
  write_file(scratch / "young/metrics.jsonl",
             "{\"step\": 1, \"kind\": \"train\", \"loss\": null}\n{\"step\": 2, \"ki");
  page = read_markup(render_report({scratch / "young"}));
  EXPECT_EQ(page.ids, (std::set<std::string>{"runs", "runs-title"}));
  EXPECT_TRUE(contains(page.text, "young"));

  std::filesystem::create_directories(scratch / "alone");
  write_file(scratch / "alone/check.json", "{\"rows\": []}");
  EXPECT_TRUE(read_markup(render_report({scratch / "alone"})).ids.empty());
}

TEST(Report, ManyExpertsAndClassesStayReadable) {
  Scratch scratch;
  FixtureRun run = small_run();
  run.experts = 64;
  run.classes.clear();
  for (int i = 0; i < 100; ++i) run.classes.push_back("class " + std::to_string(i));
  write_fixture_run(scratch / "wide", run);
  const std::string html = render_report({scratch / "wide"});
  read_markup(html);
  EXPECT_FALSE(contains(html, "class=\"hi\""));               // cells are too narrow for counts
  EXPECT_LT(occurrences(html, "rotate(-45)"), 2 * 25 + 24u);  // and not every column can have its name
}

TEST(Report, BrokenDocumentsSayWhere) {
  Scratch scratch;
  write_fixture_run(scratch / "run", small_run());
  const auto with = [&](const std::string& name, const std::string& bytes) {
    write_file(scratch / ("run/" + name), bytes);
    const std::string message = refusal([&] { render_report({scratch / "run"}); });
    std::filesystem::remove(scratch / ("run/" + name));
    return message;
  };
  EXPECT_TRUE(contains(with("evaluation.json", "{\"clean_accuracy\": \"high\"}"),
                       "expected a number at \"clean_accuracy\" of"));
  EXPECT_TRUE(
      contains(with("evaluation.json", "{\"affinity\": {\"clean\": [[1, 2], [3]]}}"), "one count per class"));
  EXPECT_TRUE(contains(with("evaluation.json", "{\"timing\": {\"-1\": {}}}"), "batch size"));
  EXPECT_TRUE(contains(with("evaluation.json", "{"), "is it cut?"));
  EXPECT_TRUE(contains(
      with("samples.json", R"({"samples": [{"channels": 3, "height": 2, "width": 2, "clean": "AAAA"}]})"),
      "expected 12 bytes"));
  EXPECT_TRUE(
      contains(with("samples.json", R"({"samples": [{"channels": 3, "height": 9000000000, "width": 2}]})"),
               "sides of 1 … 4096"));
  EXPECT_TRUE(contains(with("samples.json", R"({"samples": 3})"), "expected a list"));
  EXPECT_TRUE(contains(refusal([&] { render_report({scratch / "absent"}); }), "has no recipe.json"));
  EXPECT_THROW(render_report({}), ValueError);
}

TEST(ReportData, DocumentsSurviveWritingAndReading) {
  const FixtureRun run = small_run();
  const Json evaluation = to_json(fixture_evaluation(run)), samples = to_json(fixture_samples(run));
  EXPECT_EQ(to_json(parse_evaluation(Json::parse(dump_json(evaluation)), "test")), evaluation);
  EXPECT_EQ(to_json(parse_samples(Json::parse(dump_json(samples)), "test")), samples);
}

TEST(ReportData, RunsOfACheckAreInNaturalOrder) {
  Scratch scratch;
  for (const char* name : {"b-seed10", "b-seed2", "a-seed1", "notes"})
    std::filesystem::create_directories(scratch / name);
  for (const char* name : {"b-seed10", "b-seed2", "a-seed1"})
    write_file(scratch / (std::string(name) + "/recipe.json"), "{}");
  const auto runs = runs_of_check(scratch / "");
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(read_run(runs[0]).label(), "a, seed 1");
  EXPECT_EQ(read_run(runs[1]).label(), "b, seed 2");
  EXPECT_EQ(read_run(runs[2]).label(), "b, seed 10");
}

}  // namespace gw::test::report_cases
