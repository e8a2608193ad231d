// `gatewright train` and `check` on what does not fit: refused at once, in one line, and nothing is left
// behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>

#include "tests/cli/shell.h"
#include "tests/cli/train_runs.h"
#include "tests/runs/scratch.h"

namespace fs = std::filesystem;
using gw::Json;
using namespace gw::test;

namespace {

/// Refused with exit code 2, the part of the message given, and nothing left on disk.
void refused(const std::string& arguments, const std::vector<std::string>& parts) {
  const Scratch scratch;
  const auto answer = cli(arguments + " --out " + (scratch / "run"));
  for (const auto& part : parts) expect(answer, 2, part);
  EXPECT_EQ(answer.text.find("defect of gatewright"), std::string::npos) << answer.text;
  EXPECT_EQ(std::count(answer.text.begin(), answer.text.end(), '\n'), 1) << "one line: " << answer.text;
  EXPECT_TRUE(fs::is_empty(scratch.path())) << arguments << " left something behind";
}

std::string idx(const std::vector<uint32_t>& sizes, size_t content, char value) {
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(sizes.size())};
  for (const uint32_t size : sizes) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift);
  }
  return bytes + std::string(content, value);
}

/// Four files of Fashion-MNIST's format with 20 grey images each.
void write_fashion(const std::string& directory, char label) {
  for (const char* set : {"train", "t10k"}) {
    write_file(directory + "/" + set + "-images-idx3-ubyte", idx({20, 28, 28}, 20 * 28 * 28, '\x40'));
    write_file(directory + "/" + set + "-labels-idx1-ubyte", idx({20}, 20, label));
  }
  gw::test::shell("gzip -n " + directory + "/*ubyte");
}

}  // namespace

TEST(TrainInput, UnknownNamesGetTheNearMiss) {
  const auto with = [](const std::string& text) { return kTrain + "--set " + text; };
  refused("train advmo", {"recipe: unknown recipe \"advmo\"; did you mean \"advmoe\"?"});
  refused("train advmoe --arm adv_mo " + kSmall, {"unknown arm \"adv_mo\"; did you mean \"adv_moe\"?"});
  refused("train advmoe --arm adv_moe --size tny " + kSmall,
          {"unknown size \"tny\"; did you mean \"tiny\"?"});
  refused(with("epoch=3"), {"recipe advmoe: unknown option \"epoch\"; did you mean \"epochs\"?"});
  refused(with("data.part=syntetic"), {"datasets: unknown part \"syntetic\"; did you mean \"synthetic\"?"});
  refused(with("objective.bta=1"), {"objective", "unknown option \"bta\"; did you mean \"beta\"?"});
  refused(with("network.experst=2"),
          {"networks/image: unknown option \"experst\"; did you mean \"experts\"?"});
  refused(with("evaluation.attacks='[\"jiont\"]'"),
          {"attacks: unknown part \"jiont\"; did you mean \"joint\"?"});
  refused(with("epsilon=0.2"), {"recipe advmoe: expected \"epsilon\" among the options of the task",
                                "write task = { part = \"image_classification\", epsilon = 0.2 }"});
  refused(with("epochs"), {"override: expected key=value, got \"epochs\""});
  expect(cli("train"), 2, "train: expected a recipe or --resume DIR, got neither; try: gatewright train");
  refused("train advmoe " + kSmall, {"expected one --arm with --out, got 4 arms"});
}

TEST(TrainInput, ValuesOutOfRangeNameThePartTheValueAndTheRange) {
  const auto with = [](const std::string& text) { return kTrain + "--set " + text; };
  refused(with("task.epsilon=-0.1"),
          {"tasks/image_classification: expected \"epsilon\"", "in 0 … 1, got -0.1"});
  refused(with("batch=0"), {"recipe advmoe: expected \"batch\"", "got 0"});
  refused(with("network.ratio=0"), {"networks/image: expected \"ratio\"", "got 0"});
  refused(with("network.policy.part=softmax_top_k --set network.policy.k=3"),
          {"policies/softmax_top_k: expected k <= experts (2), got 3"});
  refused(with("data.train=3000000000000"), {"datasets/synthetic: expected \"train\""});
  refused(with("train_per_class=1000"),
          {"expected at least 1000 examples of every class, got 20 of class 0; ask for fewer"});
}

TEST(TrainInput, RoutersSayWhatDoesNotFit) {
  const auto with = [](const std::string& text) { return kTrain + "--set network.policy.part=" + text; };
  for (const auto* value : {"-1", "0"}) {
    refused(with("gumbel_softmax --set network.policy.temperature=") + value,
            {"policies/gumbel_softmax: expected \"temperature\"", std::string("got ") + value});
  }
  refused(with("softmax_top_k --set network.policy.capacity=-1"),
          {"policies/softmax_top_k: expected \"capacity\"", "got -1"});
  refused(with("softmax_top_k --set network.experts=0"), {"networks/image: expected \"experts\"", "got 0"});
  // What only a decision shows: seen before the run begins.
  refused(with("softmax_top_k --set network.policy.capacity=1"),
          {"expected a policy that gives every image one expert", "\"drops tokens\"",
           "options without a limit of rows"});
  refused(with("softmax_top_k --set network.policy.k=2"),
          {"network: expected one expert per image, got 64 rows for 32 images; take a policy of one expert "
           "per image"});
  refused(with("sinkhorn --set network.policy.iterations=1 --set network.policy.tolerance=0"),
          {"network: expected routing weights of 1, got 0.5", "take a policy of one expert per image"});
  refused(with("hash"), {"network: expected a policy that reads scores alone, got one that needs token_id"});
}

TEST(TrainInput, DamagedDataIsNamedWithItsFile) {
  const auto with = [](const std::string& path) {
    return "train advmoe --arm adv_moe --quiet --set data.path=" + path;
  };
  refused(with("/nonexistent"), {"datasets/fashion_mnist: expected train-images-idx3-ubyte in /nonexistent",
                                 "install Debian's package"});
  const Scratch scratch;
  write_fashion(scratch.path(), '\x09');
  const auto images = scratch / "train-images-idx3-ubyte.gz";
  const auto good = read_file(images);
  ASSERT_GT(good.size(), 40u);
  write_file(images, good.substr(0, good.size() - 12));
  refused(with(scratch.path()), {images});
  auto corrupt = good;
  corrupt[corrupt.size() - 6] = static_cast<char>(corrupt[corrupt.size() - 6] ^ 0x55);  // the checksum
  write_file(images, corrupt);
  refused(with(scratch.path()), {images});
  write_file(images, good);
  fs::remove(scratch / "t10k-labels-idx1-ubyte.gz");
  write_file(scratch / "t10k-labels-idx1-ubyte", idx({20}, 20, '\x0a'));
  refused(with(scratch.path()),
          {"expected labels below 10 in \"" + (scratch / "t10k-labels-idx1-ubyte"), "got 10 at image 0"});
}

TEST(TrainInput, ForeignAndDamagedCheckpointsAreRefusedAndKept) {
  const Scratch scratch;
  const auto run = unfinished(scratch);
  const auto path = run + "/last.safetensors", good = read_file(path), other = scratch / "dense";
  Process dense("train advmoe --arm at_dense " + kSmall + "--set epochs=400 --out " + other, scratch / "log");
  ASSERT_TRUE(dense.wait_until([&] { return lines(other + "/metrics.jsonl") > 0; }));
  dense.signal(SIGKILL);
  dense.wait();
  const auto foreign = read_file(other + "/last.safetensors");
  const auto refuse = [&](const std::string& bytes, const std::string& part) {
    write_file(path, bytes);
    const auto answer = cli(resumed(run));
    expect(answer, 2, part);
    expect(answer, 2, path);
    EXPECT_TRUE(read_file(path) == bytes) << "the file was touched";
  };
  refuse(foreign, "got another architecture; missing: model/router.");
  refuse(foreign, "of another shape or type: model/backbone.");
  refuse(good.substr(0, good.size() / 2), "");
  refuse(good.substr(0, 4), "");
  auto weights = good;
  weights[weights.size() - 100] = static_cast<char>(weights[weights.size() - 100] ^ 1);
  refuse(weights, "the file is damaged: restore it");
  auto header = good;
  header[9] = '{';
  refuse(header, "");
  refuse("", "restore it from a copy, or train again into another directory");
  auto length = good;
  length[6] = '\x7f';
  refuse(length, "");
  fs::remove(path);
  expect(cli(resumed(run)), 2,
         "expected the checkpoint " + path + " beside best.safetensors, got none; restore it from a copy");
  fs::rename(run + "/best.safetensors", scratch / "best");
  expect(cli(resumed(run)), 2, "expected a checkpoint in " + run);  // the records show that there was one
  fs::rename(scratch / "best", run + "/best.safetensors");
  write_file(path, good);
  expect(cli(resumed(run)), 0, "report: ");
  expect_same_run(whole_run(), run);
}

// A run that goes on from damaged files would end with another result than the one it began, without a word.
TEST(TrainInput, DamagedLogsAreRefusedAndKept) {
  const Scratch scratch;
  const auto run = unfinished(scratch);
  const auto refuse = [&](const std::string& file,
                          const std::function<std::string(const std::string&)>& damage,
                          const std::string& part) {
    const auto path = run + "/" + file, good = read_file(path), bytes = damage(good);
    fs::remove(path);
    if (!bytes.empty()) write_file(path, bytes);
    const auto answer = cli(resumed(run));
    expect(answer, 2, part);
    expect(answer, 2, path);
    expect(answer, 2, "restore the file from a copy");
    EXPECT_TRUE(bytes.empty() || read_file(path) == bytes) << file << " was touched";
    write_file(path, good);
  };
  const auto gone = [](const std::string&) { return std::string(); };
  const auto half = [](const std::string& bytes) { return bytes.substr(0, bytes.size() / 2); };
  const auto flipped = [](std::string bytes) { return bytes[bytes.size() / 3] ^= 1, bytes; };
  const auto without_lines = [](std::string bytes) {  // lines 6 to 9
    const auto start_of = [&](int line) {
      size_t at = 0;
      for (; line > 1; --line) at = bytes.find('\n', at) + 1;
      return at;
    };
    return bytes.erase(start_of(6), start_of(10) - start_of(6));
  };
  for (const char* file : {"routes.bin", "routes.jsonl"}) {
    refuse(file, gone, "got no such file");
    refuse(file, half, "it was cut");
    refuse(file, flipped, "as they were at the last checkpoint");
  }
  refuse("metrics.jsonl", gone, "it was cut");
  refuse("metrics.jsonl", without_lines, "it was cut");
  refuse("metrics.jsonl", flipped, "as they were at the last checkpoint");
  refuse("events.out.tfevents.gatewright", flipped, "got a damaged one at byte");
  refuse("events.out.tfevents.gatewright", half, "it was cut");
  expect(cli(resumed(run)), 0, "report: ");
  expect_same_run(whole_run(), run);
}

TEST(TrainInput, PlacesToGoOnFromCanBePasted) {
  const Scratch scratch;
  const auto run = scratch / "my run; it's";
  Process process(started("\"" + run + "\"", 400), scratch / "log");
  ASSERT_TRUE(process.wait_until([&] { return lines(run + "/metrics.jsonl") > 2; }));
  process.signal(SIGINT);
  EXPECT_EQ(process.wait(), 130);
  const auto text = read_file(scratch / "log");
  EXPECT_NE(text.find("gatewright train --resume '" + (scratch / "my run; it'\\''s'")), std::string::npos)
      << text;
}

TEST(TrainInput, ResumingNeedsARunAndItsOwnRecipe) {
  const Scratch scratch;
  expect(cli(resumed(scratch.path())), 2, "recipe.json");
  const auto run = unfinished(scratch);
  write_file(run + "/recipe.json", "{");
  expect(cli(resumed(run)), 2, "recipe.json");
  write_file(run + "/recipe.json", R"({"epochs": 3, "epcohs": 4})");
  expect(cli(resumed(run)), 2, "unknown option \"epcohs\"; did you mean \"epochs\"?");
}

// Before the task had them, the radius of the attacks and the steps of the validation stood beside it.
TEST(TrainInput, RunsOfAnEarlierVersionAreReadAndGoneOnWith) {
  const Scratch scratch;
  const auto run = unfinished(scratch);
  auto recipe = Json::parse(read_file(run + "/recipe.json"));
  recipe["epsilon"] = recipe["task"]["epsilon"],
  recipe["validation_steps"] = recipe["task"]["validation_steps"];
  recipe["task"] = {{"part", "image_classification"}};
  write_file(run + "/recipe.json", recipe.dump());
  expect(cli(resumed(run)), 0, "report: ");
  const auto measured = [](const std::string& directory) {
    return Json::parse(read_file(directory + "/evaluation.json")).at("robust_accuracy");
  };
  EXPECT_EQ(measured(run), measured(whole_run()));
  expect(cli(resumed(run)), 0, "report: ");  // finished: the recipe is the one of its metrics
  EXPECT_NE(read_file(run + "/report.html").find("<dt>Attack radius ε</dt><dd>0.1</dd>"), std::string::npos);
  expect(cli("attack " + run + " --with fgsm --images 5 --threads 1"), 0, "5 test images, epsilon 0.1\n");
}

TEST(TrainInput, NothingGivenIsIgnored) {
  const Scratch scratch;
  const auto run = unfinished(scratch);
  for (const char* more : {"advmoe", "--arm at_dense", "--seed 4", "--out elsewhere", "--set epochs=6",
                           "--size small", "--record-routes"}) {
    const auto answer = cli(resumed(run) + " " + more);
    expect(answer, 2, "--resume");
    expect(answer, 2, "excludes");
  }
  for (const char* command : {"train advmoe", "check advmoe", "report runs/x"})
    expect(cli(std::string(command) + " --out ''"), 2, "empty text");
  expect(cli("attack " + whole_run() + " --with fgsm --set images=5 --set epsilon=8/255 --threads 1"), 0,
         "5 test images, epsilon 0.0313");
  expect(cli("attack " + whole_run() + " --with fgsm --images 5 --set epsilon=8/0"), 2,
         "expected a number from 0 to 1 or a fraction like 8/255");
  expect(cli(kTrain + "--replay-routes 123 --out " + (scratch / "new")), 2,
         "No such file");  // a file's name, no number
}

TEST(CheckInput, NothingTrainsBeforeEverythingIsKnownToBeRight) {
  refused("check advmo", {"did you mean \"advmoe\"?"});
  refused("check advmoe --arm adv_mo " + kSmall, {"unknown arm \"adv_mo\"; did you mean \"adv_moe\"?"});
  refused("check advmoe --size tny " + kSmall, {"unknown size \"tny\"; did you mean \"tiny\"?"});
  refused("check advmoe --seeds=-1 " + kSmall, {"expected \"seed\"", "got -1"});
  refused("check advmoe " + kSmall + "--set evaluation.attacks='[\"jiont\"]'", {"did you mean \"joint\"?"});
  refused("check advmoe " + kSmall + "--set objective.alpha=1",
          {"unknown option \"alpha\""});  // known to the last arm alone
}

TEST(TrainInput, DevicesThatCannotBeHadAreRefusedWithTheReason) {
  const Scratch scratch;
  for (const char* command : {"train advmoe ", "check advmoe "}) {
    const auto asked = command + kSmall + "--out " + (scratch / "none") + " --device ";
    expect(cli(asked + "cuda:0"), 2, "leave --device out");
    expect(cli(asked + "tpu"), 2, "expected cpu or cuda, got tpu");
  }
  EXPECT_TRUE(fs::is_empty(scratch.path()));
  expect(cli(kTrain + "--device cpu --out " + (scratch / "run")), 0, "report");
  expect(cli("attack " + whole_run() + " --with fgsm --images 5 --device cuda"), 2, "leave --device out");
}
