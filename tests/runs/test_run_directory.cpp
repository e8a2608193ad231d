#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/error.h"
#include "gatewright/runs/run_directory.h"
#include "tests/runs/scratch.h"

using namespace gw;
using gw::test::read_file;
using gw::test::Scratch;
using gw::test::write_file;

namespace gw::test::run_directory_cases {

const Json kRecipe = {{"name", "tiny"}, {"train", {{"epochs", 2}, {"rate", 0.1}}}, {"data", {{"root", "a"}}}};

RunDirectory::Options options(bool resume = false) {
  RunDirectory::Options o;
  o.resume = resume;
  o.wall_time_s = [] { return 1700000000.0; };
  return o;
}

Json record(int64_t step) {
  return {
      {"step", step}, {"kind", "train"}, {"loss", 1.0 / static_cast<double>(step)}, {"load", {0.25, 0.75}}};
}

void write_run(const std::string& path, int64_t steps) {
  RunDirectory run(path, kRecipe, options());
  for (int64_t step = 1; step <= steps; ++step) run.append(record(step));
}

template <class F>
std::string message_of(F&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(RunDirectory, WritesRecipeRecordsAndEvents) {
  Scratch scratch;
  write_run(scratch / "run/deep", 2);
  EXPECT_EQ(read_json(scratch / "run/deep/recipe.json"), kRecipe);
  const auto records = read_records(scratch / "run/deep/metrics.jsonl");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[1], record(2));
  const std::string events = read_file(scratch / "run/deep/events.out.tfevents.gatewright");
  EXPECT_NE(events.find(tfrecord_frame(encode_scalar_event(1700000000.0, 2, "train/loss", 0.5f))),
            std::string::npos);
  EXPECT_NE(events.find(tfrecord_frame(encode_scalar_event(1700000000.0, 2, "train/load/1", 0.75f))),
            std::string::npos);
  EXPECT_EQ(events.find("train/step"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(scratch / "run/deep/recipe.json.tmp"));
}

TEST(RunDirectory, RefusesWhatIsNotItsOwn) {
  Scratch scratch;
  write_run(scratch / "run", 1);
  EXPECT_NE(message_of([&] {
              RunDirectory(scratch / "run", kRecipe, options());
            }).find("which holds a run; resume it"),
            std::string::npos);
  std::filesystem::create_directories(scratch / "other");
  write_file(scratch / "other/thesis.tex", "dear");
  EXPECT_NE(message_of([&] { RunDirectory(scratch / "other", kRecipe, options()); }).find("thesis.tex"),
            std::string::npos);
  EXPECT_NE(
      message_of([&] { RunDirectory(scratch / "other", kRecipe, options(true)); }).find("no recipe.json"),
      std::string::npos);
  write_file(scratch / "file", "");
  EXPECT_THROW(RunDirectory(scratch / "file", kRecipe, options()), IoError);
}

TEST(RunDirectory, WhatAKilledWriteLeftIsRemoved) {
  Scratch scratch;
  std::filesystem::create_directories(scratch / "first");
  write_file(scratch / "first/recipe.json.4242-0.tmp", "{\"na");  // killed at the very first write
  write_run(scratch / "first", 1);
  EXPECT_FALSE(std::filesystem::exists(scratch / "first/recipe.json.4242-0.tmp"));
  const std::vector<std::string> ours{"routes.prom.7-12.tmp", "last.safetensors.7-3.tmp",
                                      "metrics.jsonl.7-1.tmp", "metrics.json.7-2.tmp"};
  const std::vector<std::string> others{"report.html.7-0.tmp", "notes.7-0.tmp", "routes.prom.tmp",
                                        "last.safetensors.7.tmp"};
  for (const auto& name : ours) write_file(scratch / ("first/" + name), "x");
  for (const auto& name : others) write_file(scratch / ("first/" + name), "x");
  RunDirectory(scratch / "first", kRecipe, options(true));
  for (const auto& name : ours) EXPECT_FALSE(std::filesystem::exists(scratch / ("first/" + name))) << name;
  for (const auto& name : others) EXPECT_TRUE(std::filesystem::exists(scratch / ("first/" + name))) << name;
}

TEST(RunDirectory, ResumeWantsTheSameRecipe) {
  Scratch scratch;
  write_run(scratch / "run", 1);
  Json changed = kRecipe;
  changed["train"]["epochs"] = 3;
  const std::string message = message_of([&] { RunDirectory(scratch / "run", changed, options(true)); });
  EXPECT_NE(message.find("at /train/epochs: 2, got 3"), std::string::npos) << message;
  Json moved = kRecipe;
  moved["data"]["root"] = "b";
  EXPECT_THROW(RunDirectory(scratch / "run", moved, options(true)), ValueError);
  auto lenient = options(true);
  lenient.may_differ = {"/data"};
  EXPECT_NO_THROW(RunDirectory(scratch / "run", moved, lenient));
  EXPECT_EQ(read_json(scratch / "run/recipe.json"), kRecipe);
}

TEST(RunDirectory, OneWriterAtATime) {
  Scratch scratch;
  {
    RunDirectory run(scratch / "run", kRecipe, options());
    EXPECT_NE(
        message_of([&] { RunDirectory(scratch / "run", kRecipe, options(true)); }).find("another process"),
        std::string::npos);
  }
  EXPECT_NO_THROW(RunDirectory(scratch / "run", kRecipe, options(true)));
}

// The run is killed in the middle of a record of step 5, its last checkpoint is of step 3.
TEST(RunDirectory, ResumedEqualsUninterrupted) {
  Scratch scratch;
  write_run(scratch / "whole", 6);
  Json marks;
  {
    RunDirectory run(scratch / "cut", kRecipe, options());
    for (int64_t step = 1; step <= 4; ++step) {
      run.append(record(step));
      if (step == 3) marks = run.marks();
    }
  }
  for (const char* name : {kMetricsFile, kEventFile}) {
    const std::string whole = read_file((scratch / "whole/") + name);
    const std::string cut = read_file((scratch / "cut/") + name);
    ASSERT_EQ(whole.substr(0, cut.size()), cut);
    write_file((scratch / "cut/") + name, whole.substr(0, cut.size() + 9));
  }
  {
    RunDirectory run(scratch / "cut", kRecipe, options(true));
    EXPECT_EQ(read_records(scratch / "cut/metrics.jsonl").size(), 4u);
    run.rewind(marks);
    for (int64_t step = 4; step <= 6; ++step) run.append(record(step));
  }
  for (const char* name : {kMetricsFile, kEventFile, kRecipeFile})
    EXPECT_EQ(read_file((scratch / "cut/") + name), read_file((scratch / "whole/") + name));
}

TEST(RunDirectory, DamageInTheMiddleIsAnError) {
  Scratch scratch;
  write_run(scratch / "run", 1);
  const std::string good = read_file(scratch / "run/metrics.jsonl");
  write_file(scratch / "run/metrics.jsonl", good + "{\"step\n" + good);
  EXPECT_NE(message_of([&] { read_records(scratch / "run/metrics.jsonl"); }).find("line 2 of"),
            std::string::npos);
  write_file(scratch / "run/metrics.jsonl", good + "{\"step\n");
  EXPECT_EQ(read_records(scratch / "run/metrics.jsonl").size(), 1u);
}

// Whatever happened to a log behind the back of its run is said on resuming, and the file is left as it is
// found.
TEST(RunDirectory, DamagedLogsAreRefusedAndKept) {
  Scratch scratch;
  Json marks;
  {
    RunDirectory run(scratch / "run", kRecipe, options());
    for (int64_t step = 1; step <= 9; ++step) run.append(record(step));
    marks = run.marks();
  }
  const std::string metrics = scratch / "run/metrics.jsonl", events = (scratch / "run/") + kEventFile;
  const auto refuse = [&](const std::string& path, const std::string& bytes, const std::string& part) {
    const std::string good = read_file(path);
    write_file(path, bytes);
    RunDirectory run(scratch / "run", kRecipe, options(true));
    EXPECT_NE(message_of([&] { run.rewind(marks); }).find(part), std::string::npos)
        << message_of([&] { run.rewind(marks); });
    EXPECT_EQ(read_file(path), bytes) << "touched";
    write_file(path, good);
  };
  const std::string lines = read_file(metrics);
  const size_t one = lines.size() / 9;
  refuse(metrics, lines.substr(0, 5 * one) + lines.substr(9 * one - 1), "it was cut: restore the file");
  refuse(metrics, "", "got 0; it was cut");
  std::string other = lines;
  other[20] = other[20] == '1' ? '2' : '1';
  refuse(metrics, other, "as they were at the last checkpoint");
  std::string flipped = read_file(events);
  flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 4);
  refuse(events, flipped, "got a damaged one at byte");
  refuse(events, flipped.substr(0, flipped.size() / 2), "it was cut");
  RunDirectory run(scratch / "run", kRecipe, options(true));
  EXPECT_NE(message_of([&] { run.rewind(Json()); }).find("expected a checkpoint in"), std::string::npos)
      << "records without a checkpoint";
  for (const char* wrong : {R"({"metrics.jsonl": 3})", R"({"metrics.jsonl": {"bytes": -1}})",
                            R"({"metrics.jsonl": {"bytes": 1, "crc32c": "xyz"}})"})
    EXPECT_THROW(run.rewind(Json::parse(wrong)), ValueError) << wrong;
  run.rewind(marks);
  EXPECT_EQ(read_file(metrics), lines);
}

TEST(RunDirectory, RecordsAreChecked) {
  Scratch scratch;
  RunDirectory run(scratch / "run", kRecipe, options());
  EXPECT_THROW(run.append({{"kind", "train"}}), ValueError);
  EXPECT_THROW(run.append({{"step", 1.5}, {"kind", "train"}}), ValueError);
  EXPECT_THROW(run.append(Json::array()), ValueError);
  EXPECT_THROW(run.write_json("../up.json", kRecipe), ValueError);
  run.append({{"step", 1}, {"kind", "train"}, {"loss", std::nan("")}, {"note", "\xff"}});
  const auto records = read_records(scratch / "run/metrics.jsonl");
  ASSERT_EQ(records.size(), 1u);
  EXPECT_TRUE(records[0]["loss"].is_null());
  EXPECT_EQ(records[0]["note"], "\uFFFD");
}

TEST(RunDirectory, LongListsBecomeHistograms) {
  Scratch scratch;
  {
    RunDirectory run(scratch / "run", kRecipe, options());
    run.append({{"step", 1}, {"kind", "train"}, {"load", std::vector<double>(65, 0.5)}});
  }
  const std::string events = read_file((scratch / "run/") + kEventFile);
  EXPECT_EQ(events.find("train/load/0"), std::string::npos);
  EXPECT_NE(events.find("train/load"), std::string::npos);
}

TEST(RunDirectory, DocumentsThatAreNoJsonAreRefusedWithTheirPlace) {
  Scratch scratch;
  const auto read = [&](const std::string& text) {
    write_file(scratch / "d.json", text);
    return message_of([&] { read_json(scratch / "d.json"); });
  };
  const auto expect = [&](const std::string& text, const std::string& part) {
    EXPECT_NE(read(text).find(part), std::string::npos) << read(text);
  };
  expect("", "d.json:1:1: expected JSON, got an empty text");
  expect(" \n", "got an empty text");
  expect("{\n  \"a\": NaN}", "d.json:2:8: expected JSON, got \"N");
  expect("{\n  \"a\": NaN}", "JSON has no word for what is not finite");
  expect("{\"a\": 1", "got its end; is it cut?");
  expect("{\"a\": 1,}", "d.json:1:9: expected JSON");
  expect("{\"a\": {\"b\": 1, \"b\": 2}}", "expected every key once, got \"b\" twice");
  expect("{\"\x1b[31m\": 1}", "\\x1b");
  EXPECT_EQ(read("{\"a\": {\"b\": [1, 2.5, null, true, \"x\"]}, \"b\": {\"a\": []}}"), "no error");
  EXPECT_EQ(read_json(scratch / "d.json")["a"]["b"], Json::parse("[1, 2.5, null, true, \"x\"]"));
}

TEST(RunDirectory, DeepDocumentsAreRefused) {
  Scratch scratch;
  write_file(scratch / "deep.json", std::string(100000, '[') + std::string(100000, ']'));
  EXPECT_THROW(read_json(scratch / "deep.json"), ValueError);
  write_file(scratch / "good.json", std::string(60, '[') + std::string(60, ']'));
  EXPECT_NO_THROW(read_json(scratch / "good.json"));
  EXPECT_THROW(read_json(scratch / "absent.json"), IoError);
}

}  // namespace gw::test::run_directory_cases
