// `gatewright train` from outside: killed, interrupted, out of space, and read by who quits.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <regex>
#include <string>

#include "tests/cli/shell.h"
#include "tests/cli/train_runs.h"
#include "tests/runs/scratch.h"

namespace fs = std::filesystem;
using gw::Json;
using namespace gw::test;

TEST(Train, KilledAnywhereItResumesToTheSameBytes) {
  std::mt19937 random(51);  // committed: the moments differ all the same, a process is never on time
  const auto expected = whole_run();
  const Scratch scratch;
  const auto run = scratch / "run";
  int killed = 0;
  for (int attempt = 0; attempt < 4; ++attempt) {
    const int64_t before = lines(run + "/metrics.jsonl"), more = static_cast<int64_t>(random() % 5);
    Process process(attempt == 0 ? started(run, 3) : resumed(run), scratch / "log");
    ASSERT_TRUE(process.wait_until([&] { return lines(run + "/metrics.jsonl") > before + more; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 15));
    process.signal(SIGKILL);
    const int code = process.wait();
    killed += code == 128 + SIGKILL ? 1 : 0;
    ASSERT_TRUE(code == 0 || code == 128 + SIGKILL) << read_file(scratch / "log");
  }
  EXPECT_GE(killed, 1) << "every attempt came too late";
  expect(cli(resumed(run)), 0, "report: ");
  expect_same_run(expected, run);
  // The steps' times outlast the processes: all but the first of each process and of each epoch.
  EXPECT_GE(Json::parse(read_file(run + "/step_times.json")).at("ms_per_step").size(), 10u);
}

// The tasks beside images under attack: each trains by its recipe, goes on to the same bytes after SIGKILL,
// and replays the routes that it recorded.
struct TaskRun {
  const char *name, *recipe;
};
void PrintTo(const TaskRun& run, std::ostream* out) { *out << run.name; }

class Tasks : public testing::TestWithParam<TaskRun> {};

TEST_P(Tasks, TrainResumeAndReplay) {
  const Scratch scratch;
  const std::string train = std::string("train --quiet --threads 1 --size tiny ") + GetParam().recipe +
                            " --set checkpoint_steps=3 --set routes.record=true --out ";
  const auto whole = scratch / "whole", killed = scratch / "killed", replayed = scratch / "replayed";
  expect(cli(train + whole), 0, "report: ");
  {
    Process process(train + killed, scratch / "log");
    ASSERT_TRUE(process.wait_until([&] { return lines(killed + "/metrics.jsonl") > 4; }));
    process.signal(SIGKILL);
    EXPECT_EQ(process.wait(), 128 + SIGKILL) << "it was done before the signal came";
  }
  expect(cli(resumed(killed)), 0, "report: ");
  expect_same_run(whole, killed);
  expect(cli(train + replayed + " --replay-routes " + whole + "/routes.bin"), 0, "report: ");
  EXPECT_EQ(read_file(replayed + "/metrics.jsonl"), read_file(whole + "/metrics.jsonl"));
}

INSTANTIATE_TEST_SUITE_P(
    All, Tasks,
    testing::Values(TaskRun{"NextToken",
                            "bytes --arm top_2 --set network.depth=1 --set network.width=16 --set epochs=1"},
                    TaskRun{"ClassOfASequence",
                            "bytes --arm top_2 --set network.depth=1 --set network.width=16 --set "
                            "task=classification --set epochs=1"},
                    TaskRun{"ClassOfARow", "iris --arm mixture"},
                    TaskRun{"NumberOfARow", "petals --arm mixture --set epochs=30"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Train, TheTableIsInWordsAndSaysThatNothingWasLearnt) {
  const auto answer = cli(started(whole_run(), 3));  // complete: shows its result
  for (const char* part :
       {"clean accuracy", "robust, worst case", "time / dense, batch 1 (above 1: slower)", " ms\n", " %\n",
        "21 training steps: a test of the plumbing, the networks are untrained; guessing gives 33.3 %."})
    expect(answer, 0, part);
  for (const char* key : {"clean_accuracy", "robust.", "flip_rate", "macs_ratio"})
    EXPECT_EQ(answer.text.find(key), std::string::npos) << key;
  const auto about = Json::parse(read_file(whole_run() + "/about.json"));
  EXPECT_EQ(about.at("title"), "AdvMoE: robust mixture-of-experts training for CNNs");
  EXPECT_EQ(about.at("arm_title"), "AdvMoE");
  EXPECT_EQ(about.at("command").get<std::string>().rfind(
                "gatewright train advmoe --size tiny --arm adv_moe --seed 0 --set ", 0),
            0u);
  EXPECT_NE(about.at("machine").get<std::string>().find(", Gatewright " GW_VERSION), std::string::npos);
}

TEST(Train, KilledBeforeItsFirstCheckpointItStartsAgain) {
  const Scratch scratch;
  const auto run = scratch / "run";
  fs::create_directory(run);
  fs::copy(whole_run() + "/recipe.json", run + "/recipe.json");
  expect(cli(resumed(run)), 0, "report: ");
  expect_same_run(whole_run(), run);
}

TEST(Train, SignalsSaveAndSayHowToGoOn) {
  const Scratch scratch;
  const auto run = scratch / "run";
  int64_t before = 0;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    Process process(before == 0 ? started(run, 400) : resumed(run), scratch / "log");
    ASSERT_TRUE(process.wait_until([&] { return lines(run + "/metrics.jsonl") > before + 4; }));
    process.signal(number);
    EXPECT_EQ(process.wait(), 130);
    const auto text = read_file(scratch / "log");
    EXPECT_NE(text.find("can be resumed. Go on with: gatewright train --resume " + run), std::string::npos)
        << text;
    std::smatch found;
    ASSERT_TRUE(std::regex_search(text, found, std::regex("interrupted at step ([0-9]+)"))) << text;
    const auto records = read_file(run + "/metrics.jsonl");
    const auto last = Json::parse(records.substr(records.rfind('\n', records.size() - 2) + 1));
    EXPECT_EQ(std::to_string(last.at("step").get<int64_t>()), found[1])
        << "everything that was done was saved";
    before = lines(run + "/metrics.jsonl");
  }
}

TEST(Train, AReaderOfItsOutputThatQuitsEndsNothing) {
  const Scratch scratch;
  const auto run = scratch / "run";
  // Without --quiet: progress goes into a pipe whose reader has gone.
  const auto loud = std::regex_replace(started(run, 3), std::regex("--quiet "), "");
  // The pipe's own code is that of `true`: the program's is written beside.
  shell("{ " GW_CLI " " + loud + "; echo $? > " + (scratch / "code") + "; } 2>&1 | true");
  EXPECT_EQ(read_file(scratch / "code"), "2\n") << "the report's place could not be printed";
  expect_same_run(whole_run(), run);
}

TEST(Train, ClosedDescriptorsKeepProgressOutOfTheFiles) {
  const Scratch scratch;
  const auto run = scratch / "run";
  const auto loud = std::regex_replace(started(run, 3), std::regex("--quiet "), "");
  for (const char* closed : {">&- 2>&-", "<&- >&- 2>&-"}) {
    // What was asked for on standard output could not be printed: 2, and no abort.
    EXPECT_EQ(shell("( exec " GW_CLI " " + loud + " " + closed + " )").code, 2) << closed;
    expect_same_run(whole_run(), run);
    fs::remove_all(run);
  }
  EXPECT_EQ(shell("( exec " GW_CLI " list >&- 2>&- )").code, 2);
}

TEST(Train, AFullDiskKeepsTheLastGoodCheckpoint) {
  const auto limit = fs::file_size(whole_run() + "/last.safetensors") * 3 /
                     4;  // the first has no momentum and fits, the second does not
  const Scratch scratch;
  const auto run = scratch / "run";
  Process process(started(run, 3), scratch / "log", limit);
  EXPECT_EQ(process.wait(), 2);
  const auto text = read_file(scratch / "log");
  EXPECT_NE(text.find("last.safetensors"), std::string::npos) << text;
  EXPECT_NE(text.find("File too large"), std::string::npos) << text;
  expect(cli(resumed(run)), 0, "report: ");
  expect_same_run(whole_run(), run);
}

TEST(Train, RefusesPlacesThatCannotBeWritten) {
  const Scratch scratch;
  write_file(scratch / "file", "");
  expect(cli(kTrain + "--out /proc/gatewright_run"), 2,
         "run directory: expected to create /proc/gatewright_run");
  expect(cli(kTrain + "--out " + (scratch / "file/run")), 2, "choose another place");
  write_file(scratch / "other", "");
  expect(cli(kTrain + "--out " + scratch.path()), 2, "expected an empty directory, got " + scratch.path());
}

TEST(Train, AFinishedRunIsReadAndNotRepeated) {
  const auto before = fs::last_write_time(whole_run() + "/last.safetensors");
  expect(cli(started(whole_run(), 3)), 0, "clean accuracy");
  expect(cli(resumed(whole_run())), 0, "clean accuracy");
  expect(cli(started(whole_run(), 2)), 2, "which holds a run; resume it or choose another directory");
  EXPECT_EQ(fs::last_write_time(whole_run() + "/last.safetensors"), before);
}
