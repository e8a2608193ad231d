// The command line from outside: exit codes, messages, and JSON that parses. GW_CLI is the built program.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "gatewright/base/json.h"
#include "tests/cli/shell.h"

using gw::Json;
using gw::test::cli;
using gw::test::expect;

TEST(Cli, AnswersVersionAndHelp) {
  expect(cli("--version"), 0, std::string("gatewright ") + GW_VERSION);
  expect(cli("--version"), 0, "libtorch ");
  expect(cli("--help"), 0, "doctor");
}

TEST(Cli, RefusesWithTwoAndANearMiss) {
  expect(cli("lst"), 2, "did you mean \"list\"?");
  expect(cli("--threads=1 lst"), 2, "did you mean \"list\"?");
  expect(cli("list comands"), 2, "did you mean \"commands\"?");
  expect(cli("list --jsn"), 2, "did you mean \"--json\"?");
  expect(cli("--threads 0 list"), 2, "--threads");
  expect(cli(""), 2, "Usage:");
  expect(cli("doctor", "GATEWRIGHT_KERNELS=no_such_level"), 2,
         "GATEWRIGHT_KERNELS: unknown level \"no_such_level\"");
  expect(cli("list > /dev/full"), 2, "cannot write to file");
}

TEST(Cli, EveryCommandHelpsWithAnExample) {
  const auto commands = Json::parse(cli("list commands --json").text);
  ASSERT_GE(commands.size(), 2u);
  for (const auto& command : commands) {
    const auto name = command["name"].get<std::string>();
    const auto help = cli(name + " --help");
    expect(help, 0, "Example: ");
    expect(help, 0, "gatewright " + name);
  }
}

// An example line that names a file which nothing makes cannot be pasted.
TEST(Cli, ExamplesNameFilesThatExistOrThatAnotherExampleMakes) {
  const auto commands = Json::parse(cli("list commands --json").text);
  std::vector<std::vector<std::string>> examples;
  std::set<std::string> made{"runs/check-advmoe-tiny"};  // where the example of check writes without --out
  for (const auto& command : commands) {
    const auto help = cli(command["name"].get<std::string>() + " --help").text;
    std::istringstream line(help.substr(help.find("Example: ") + 9));
    std::vector<std::string> words;
    for (std::string word; line >> word;) words.push_back(word);
    for (size_t i = 0; i + 1 < words.size(); ++i)
      if (words[i] == "--out" || words[i] == "--report") made.insert(words[i + 1]);
    examples.push_back(words);
  }
  for (const auto& words : examples) {
    for (const auto& word : words) {
      const auto extension = std::filesystem::path(word).extension();
      const bool file = word.find('/') != std::string::npos || extension == ".csv" || extension == ".json" ||
                        extension == ".html";
      EXPECT_TRUE(!file || made.count(word) > 0 || std::filesystem::exists(GW_SOURCE_ROOT + word)) << word;
    }
  }
}

TEST(Cli, ListAloneShowsCataloguesAndNames) {
  const auto all = cli("list");
  expect(all, 0, "gates ");
  expect(all, 0, "dense_to_sparse");
  expect(all, 0, "gatewright list gates");
  EXPECT_EQ(all.text.find("\ncommands"), std::string::npos) << "no recipe can name a command";
  EXPECT_LE(std::count(all.text.begin(), all.text.end(), '\n'), 60);
  for (const auto& part : Json::parse(cli("list --json").text)) {
    const bool shown = all.text.find(part["name"].get<std::string>()) != std::string::npos;
    EXPECT_TRUE(shown || part["kind"] == "commands") << part["name"];
  }
  expect(cli("list gates"), 0, "source: ");
}

TEST(Cli, ListsEveryPartWithAFileThatExists) {
  const auto parts = Json::parse(cli("list --json").text);
  for (const auto& part : parts) {
    const auto file = part["file"].get<std::string>();
    EXPECT_TRUE(std::filesystem::exists(GW_SOURCE_ROOT + file)) << file;
    EXPECT_FALSE(part["summary"].get<std::string>().empty()) << file;
    // Activations of a family share a file, which defines each by its name.
    const bool named = std::filesystem::path(file).stem().string() == part["name"].get<std::string>();
    EXPECT_TRUE(named || part["kind"] == "activations") << file << " " << part["name"];
    // Of the catalogue's name, except that models live in a zoo and the floor says what is fitted.
    const std::string folder = std::filesystem::path(file).parent_path().string();
    static const std::map<std::string, std::string> elsewhere{
        {"fit_families", "gatewright/likelihood/families"},
        {"fit_gates", "gatewright/likelihood/gates"},
        {"language_families", "gatewright/language/families"}};
    const auto known = elsewhere.find(part["kind"].get<std::string>());
    if (known != elsewhere.end())
      EXPECT_EQ(folder, known->second);
    else
      EXPECT_TRUE(std::filesystem::path(folder).filename() == part["kind"].get<std::string>() ||
                  folder == "gatewright/models/zoo")
          << file;
  }
}

TEST(Cli, ListsWhatPartsPromise) {
  bool found = false;
  for (const auto& part : Json::parse(cli("list policies --json").text)) {
    if (part["name"] != "expert_choice") continue;
    found = true;
    EXPECT_EQ(part["traits"], (Json{"differentiable", "drops tokens", "batch dependent"}));
  }
  EXPECT_TRUE(found);
  expect(cli("list policies"), 0, "traits: differentiable, drops tokens, batch dependent");
}

TEST(Cli, ListsTheRoutersOfPublishedModels) {
  expect(cli("list policies"), 0, "gatewright list families");
  std::set<std::string> names;
  for (const auto& family : Json::parse(cli("list families --json").text)) {
    names.insert(family["name"].get<std::string>());
    EXPECT_FALSE(family["source"].get<std::string>().empty()) << family;
    EXPECT_NE(family["summary"].get<std::string>().find("policy {\"part\":\""), std::string::npos) << family;
  }
  for (const auto* name : {"mixtral", "olmoe", "qwen2_moe", "qwen3_moe", "granite", "gpt_oss", "jetmoe",
                           "deepseek_v2", "deepseek_v3", "phimoe"}) {
    EXPECT_TRUE(names.count(name)) << name;
  }
}

TEST(Cli, DoctorSaysWhyNoCudaLevelIsTaken) {
  const auto report = Json::parse(cli("doctor --json").text);
  int families = 0;
  for (const auto& family : report["kernels"]) {
    for (const auto& level : family["levels"]) {
      if (level["name"] != "cuda") continue;
      ++families;
      EXPECT_FALSE(level["available"].get<bool>());
      EXPECT_NE(level["reason"].get<std::string>().find("compiled"), std::string::npos);
    }
  }
  EXPECT_EQ(families, 3);  // top_k, moe_ffn, moe_ffn_bf16
  EXPECT_NE(report["cuda"].get<std::string>().find("grouped_gemm"), std::string::npos);
  expect(cli("doctor", "GATEWRIGHT_KERNELS=top_k=cuda"), 2, "cannot run here");
}

TEST(Cli, DoctorReportsThreadsAndLibtorch) {
  const auto report = Json::parse(cli("--threads 1 doctor --json").text);
  EXPECT_EQ(report["threads"].get<int>(), 1);
  EXPECT_EQ(report["libtorch"]["origin"].get<std::string>(), GW_TORCH_ORIGIN);
  EXPECT_NE(report["libtorch"]["file"].get<std::string>().find("libtorch_cpu"), std::string::npos);
  EXPECT_EQ(Json::parse(cli("doctor --json").text)["threads"], report["cpu"]["cores"]);
  const auto text = cli("doctor");
  expect(text, 0, "oneDNN");
  EXPECT_LT(text.text.find("fashion_mnist"), text.text.find("BLAS"))
      << "first what one looks for: the data, the libraries";
  EXPECT_LT(text.text.find("BLAS"), text.text.find("kernels  "));
  std::istringstream lines(text.text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 140u) << line;
}

TEST(Cli, ListSaysWhatGoesWithAPartAndWhyNot) {
  std::map<std::string, std::string> why;
  for (const auto& pair : Json::parse(cli("list --compatible policies/hash --json").text)) {
    EXPECT_EQ(pair.at("compatible").get<bool>(), pair.at("why_not").get<std::string>().empty()) << pair;
    why[pair.at("with")] = pair.at("why_not");
  }
  EXPECT_GT(std::count_if(why.begin(), why.end(), [](const auto& item) { return item.second.empty(); }), 15);
  EXPECT_EQ(why.at("banks/mlp"), "");
  EXPECT_NE(why.at("gates/cnn").find("images"), std::string::npos) << why.at("gates/cnn");
  EXPECT_NE(why.at("networks/image, one decision per image").find("token_id"), std::string::npos);
  expect(cli("list --compatible policies/hsh"), 2, "did you mean \"hash\"?");
  expect(cli("list --compatible datasets/bytes"), 2, "expected a part of a mixture as catalogue/name");
}

// One more thread than cores costs time instead of saving it (10.5 s with one thread, 30.9 s with eight, on
// one core).
TEST(Cli, ThreadsFollowTheEnvironmentAndTooManyAreSaid) {
  const auto threads = [](const std::string& environment) {
    return Json::parse(cli("doctor --json 2> /dev/null", environment).text)["threads"].get<int>();
  };
  const auto cores = Json::parse(cli("--threads 1 doctor --json").text)["cpu"]["cores"].get<int>();
  EXPECT_EQ(threads("OMP_NUM_THREADS=1"), 1);
  EXPECT_EQ(threads("OMP_NUM_THREADS=" + std::to_string(cores + 1) + ",2"), cores + 1);
  for (const char* wrong :
       {"OMP_NUM_THREADS=0", "OMP_NUM_THREADS=abc", "OMP_NUM_THREADS=-3", "OMP_NUM_THREADS="})
    EXPECT_EQ(threads(wrong), cores) << wrong;
  const auto many = std::to_string(cores + 1);
  expect(cli("--threads " + many + " list policies"), 0,
         many + " threads on " + std::to_string(cores) + " core");
  expect(cli("list policies", "OMP_NUM_THREADS=" + many), 0,
         "wait for each other: --threads " + std::to_string(cores) + " is faster");
  EXPECT_EQ(cli("--threads 1 list policies").text.find("wait for each other"), std::string::npos);
}
