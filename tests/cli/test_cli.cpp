// The command line from outside: exit codes, messages, and JSON that parses. GW_CLI is the built program.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "cli/shell.h"

using gw_test::cli;
using gw_test::expect;

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
  expect(cli("doctor", "GATEWRIGHT_KERNELS=no_such_level"), 2, "GATEWRIGHT_KERNELS: unknown level \"no_such_level\"");
  expect(cli("list > /dev/full"), 2, "cannot write to file");
}

TEST(Cli, EveryCommandHelpsWithAnExample) {
  const auto commands = nlohmann::json::parse(cli("list commands --json").text);
  ASSERT_GE(commands.size(), 2u);
  for (const auto& command : commands) {
    const auto name = command["name"].get<std::string>();
    const auto help = cli(name + " --help");
    expect(help, 0, "Example: ");
    expect(help, 0, "gatewright " + name);
  }
}

TEST(Cli, ListsEveryPartWithAFileThatExists) {
  const auto parts = nlohmann::json::parse(cli("list --json").text);
  for (const auto& part : parts) {
    const auto file = part["file"].get<std::string>();
    EXPECT_TRUE(std::filesystem::exists(GW_SOURCE_ROOT + file)) << file;
    EXPECT_FALSE(part["summary"].get<std::string>().empty()) << file;
    EXPECT_EQ(std::filesystem::path(file).stem().string(), part["name"].get<std::string>());
    const auto folder = std::filesystem::path(file).parent_path();  // of the catalogue's name, except that models live in a zoo
    EXPECT_TRUE(folder.filename() == part["kind"].get<std::string>() || folder == "models/zoo") << file;
  }
}

TEST(Cli, ListsWhatPartsPromise) {
  bool found = false;
  for (const auto& part : nlohmann::json::parse(cli("list policies --json").text)) {
    if (part["name"] != "expert_choice") continue;
    found = true;
    EXPECT_EQ(part["traits"], (nlohmann::json{"differentiable", "drops tokens", "batch dependent"}));
  }
  EXPECT_TRUE(found);
  expect(cli("list policies"), 0, "traits: differentiable, drops tokens, batch dependent");
}

TEST(Cli, ListsTheRoutersOfPublishedModels) {
  expect(cli("list policies"), 0, "gatewright list families");
  std::set<std::string> names;
  for (const auto& family : nlohmann::json::parse(cli("list families --json").text)) {
    names.insert(family["name"].get<std::string>());
    EXPECT_FALSE(family["source"].get<std::string>().empty()) << family;
    EXPECT_NE(family["summary"].get<std::string>().find("policy {\"part\":\""), std::string::npos) << family;
  }
  for (const auto* name : {"mixtral", "olmoe", "qwen2_moe", "qwen3_moe", "granite", "gpt_oss", "jetmoe", "deepseek_v2", "deepseek_v3", "phimoe"}) {
    EXPECT_TRUE(names.count(name)) << name;
  }
}

TEST(Cli, DoctorSaysWhyNoCudaLevelIsTaken) {
  const auto report = nlohmann::json::parse(cli("doctor --json").text);
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
  const auto report = nlohmann::json::parse(cli("--threads 1 doctor --json").text);
  EXPECT_EQ(report["threads"].get<int>(), 1);
  EXPECT_EQ(report["libtorch"]["origin"].get<std::string>(), GW_TORCH_ORIGIN);
  EXPECT_NE(report["libtorch"]["file"].get<std::string>().find("libtorch_cpu"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(cli("doctor --json").text)["threads"], report["cpu"]["cores"]);
  expect(cli("doctor"), 0, "oneDNN");
}

// One more thread than cores costs time instead of saving it (10.5 s with one thread, 30.9 s with eight, on one core).
TEST(Cli, ThreadsFollowTheEnvironmentAndTooManyAreSaid) {
  const auto threads = [](const std::string& environment) {
    return nlohmann::json::parse(cli("doctor --json 2> /dev/null", environment).text)["threads"].get<int>();
  };
  const auto cores = nlohmann::json::parse(cli("--threads 1 doctor --json").text)["cpu"]["cores"].get<int>();
  EXPECT_EQ(threads("OMP_NUM_THREADS=1"), 1);
  EXPECT_EQ(threads("OMP_NUM_THREADS=" + std::to_string(cores + 1) + ",2"), cores + 1);
  for (const char* wrong : {"OMP_NUM_THREADS=0", "OMP_NUM_THREADS=abc", "OMP_NUM_THREADS=-3", "OMP_NUM_THREADS="}) EXPECT_EQ(threads(wrong), cores) << wrong;
  const auto many = std::to_string(cores + 1);
  expect(cli("--threads " + many + " list policies"), 0, many + " threads on " + std::to_string(cores) + " core");
  expect(cli("list policies", "OMP_NUM_THREADS=" + many), 0, "wait for each other: --threads " + std::to_string(cores) + " is faster");
  EXPECT_EQ(cli("--threads 1 list policies").text.find("wait for each other"), std::string::npos);
}
