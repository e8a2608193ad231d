// Programs beside this one: lines both ways, how they end, and what is refused.
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "gatewright/base/child_process.h"
#include "gatewright/base/error.h"

using namespace gw;

namespace gw::test::child_process_cases {

ChildProcess::Command script(const std::string& text) { return {{"/bin/bash", "-c", text}}; }

/// The first `count` lines, or what came in ten seconds.
std::vector<std::string> lines(ChildProcess& child, size_t count) {
  std::vector<std::string> all;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (all.size() < count && std::chrono::steady_clock::now() < end) {
    pollfd ready{child.line(), POLLIN, 0};
    ::poll(&ready, 1, 100);
    for (auto& line : child.received()) all.push_back(line);
  }
  return all;
}

TEST(ChildProcess, SpeaksInLinesBothWays) {
  ChildProcess child(script("while read -r word <&3; do echo \"got $word\" >&3; done"));
  child.send("one");
  child.send("two");
  EXPECT_EQ(lines(child, 2), (std::vector<std::string>{"got one", "got two"}));
}

TEST(ChildProcess, KeepsBackALineThatHasNotEnded) {
  ChildProcess child(script("printf 'whole\\nha' >&3; read -r word <&3; printf 'lf\\n' >&3"));
  EXPECT_EQ(lines(child, 1), std::vector<std::string>{"whole"});
  child.send("go");
  EXPECT_EQ(lines(child, 1), std::vector<std::string>{"half"});
}

TEST(ChildProcess, TellsHowItEnded) {
  EXPECT_EQ(ChildProcess(script("exit 0")).wait(), "");
  EXPECT_EQ(ChildProcess(script("exit 3")).wait(), "exit status 3");
  EXPECT_EQ(ChildProcess(script("kill -9 $$")).wait(), "killed by signal 9 (Killed)");
}

TEST(ChildProcess, TakesAnEnvironmentAndPassesWordsUnread) {
  ChildProcess child(
      ChildProcess::Command{{"/bin/bash", "-c", "echo \"$GW_TEST_WORD $1\" >&3", "name", "$(exit); 'x'"},
                            {{"GW_TEST_WORD", "set"}}});
  EXPECT_EQ(lines(child, 1), std::vector<std::string>{"set $(exit); 'x'"});
}

TEST(ChildProcess, StandsStillWhilePausedAndEndsWhenAskedTo) {
  ChildProcess child(script("trap 'echo asked; exit 5' TERM; echo up >&3; while sleep 0.01; do :; done"));
  ASSERT_EQ(lines(child, 1).size(), 1u);
  child.pause();
  child.ask_to_end();  // a paused child goes on first
  EXPECT_EQ(child.wait(), "exit status 5");
}

TEST(ChildProcess, IsKilledWithItsHandle) {
  pid_t pid = 0;
  {
    ChildProcess child(script("trap '' TERM; echo $$ >&3; while sleep 0.01; do :; done"));
    const auto said = lines(child, 1);
    ASSERT_EQ(said.size(), 1u);
    pid = std::stoi(said[0]);
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_NE(::kill(pid, 0), 0);
}

// Whether a process is no more, or only its entry is left that nobody has waited for.
bool is_gone(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  return !(file >> number >> name >> state) || state == "Z" || state == "X";
}

bool ends_soon(pid_t pid) {
  for (int i = 0; i < 2000 && !is_gone(pid); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return is_gone(pid);
}

TEST(ChildProcess, SpeaksOverStandardInputAndOutputWhereAsked) {
  ChildProcess child(
      {{"/bin/bash", "-c", "while read -r word; do echo \"got $word\"; done; echo end"}, {}, true});
  child.send("one");
  EXPECT_EQ(lines(child, 1), std::vector<std::string>{"got one"});
  EXPECT_FALSE(child.ended());
  child.finish_sending();
  EXPECT_EQ(lines(child, 1), std::vector<std::string>{"end"});
  EXPECT_TRUE(child.ends_within(10000));
  child.received();
  EXPECT_TRUE(child.ended());
  EXPECT_EQ(child.wait(), "");
}

TEST(ChildProcess, TakesWhatItStartedWithIt) {
  pid_t first = 0, second = 0;
  {
    ChildProcess child(script("sleep 1000 & echo $! >&3; wait"));
    first = std::stoi(lines(child, 1).at(0));
    ChildProcess dies(script("sleep 1000 & echo $! >&3; exit 4"));
    second = std::stoi(lines(dies, 1).at(0));
    EXPECT_FALSE(is_gone(first) || is_gone(second));
    EXPECT_EQ(dies.wait(), "exit status 4");
    EXPECT_TRUE(ends_soon(second));
  }
  EXPECT_TRUE(ends_soon(first));
}

TEST(ChildProcess, WaitsForAReaderNoLongerThanAsked) {
  ChildProcess child(script("sleep 1000"));
  const std::string much(1 << 20, 'x');
  EXPECT_FALSE(child.send(much, 50));
  EXPECT_FALSE(child.ends_within(10));
}

TEST(ChildProcess, RefusesAProgramThatIsNotThereAndALineWithoutEnd) {
  EXPECT_THROW(ChildProcess(ChildProcess::Command{{"/no/such/program"}}), IoError);
  EXPECT_THROW(ChildProcess(ChildProcess::Command{}), ValueError);
  ChildProcess endless(script("head -c 200000 /dev/zero | tr '\\0' x >&3"));
  EXPECT_THROW(lines(endless, 1), ValueError);
}

TEST(ChildProcess, OnlyAStartedProgramHasAParentLine) { EXPECT_THROW(ParentLine(), ValueError); }

}  // namespace gw::test::child_process_cases
