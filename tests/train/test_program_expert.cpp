// Experts that are programs: what they are asked and answer, and all that can go wrong with them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "gatewright/base/error.h"
#include "gatewright/train/program_expert.h"
#include "tests/support/refusal.h"

namespace gw::test::program_expert_cases {

/// A program in the shell's language that hears lines and answers them.
ProgramOptions script(const std::string& text) {
  ProgramOptions options;
  options.command = {"bash", "-c", text};
  options.timeout = options.start_timeout = 20;
  return options;
}

ProgramOptions answering(const std::string& each) {
  return script("while read -r line; do " + each + "; done");
}

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Whether a process is no more, or only its entry is left that nobody waited for.
bool gone(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  if (!(file >> number >> name >> state)) return true;
  return state == "Z" || state == "X";
}

bool soon_gone(pid_t pid) {
  for (int i = 0; i < 2000 && !gone(pid); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return gone(pid);
}

TEST(ProgramExpert, AnswersEveryQuestionFromOneProcess) {
  ProgramExpert expert("pid", answering(R"(echo "{\"answer\": \"$$\"}")"));
  const auto first = expert.ask("one"), second = expert.ask("two");
  ASSERT_TRUE(first.answered && second.answered) << first.why << second.why;
  EXPECT_EQ(first.answer, second.answer);
  EXPECT_EQ(expert.record().starts, 1);
  EXPECT_EQ(expert.record().answers, 2);
  EXPECT_EQ(expert.record().failures(), 0);
  const pid_t pid = std::stoi(first.answer.text());
  EXPECT_FALSE(gone(pid));
  expert.stop();
  EXPECT_TRUE(soon_gone(pid));
}

TEST(ProgramExpert, GetsTheQuestionWithItsNumber) {
  ProgramExpert expert("echo", answering(R"(echo "{\"answer\": $line}")"));
  const auto reply = expert.ask("say \"it\"\nagain");
  ASSERT_TRUE(reply.answered) << reply.why;
  EXPECT_EQ(reply.answer.at("text"), "say \"it\"\nagain");
  EXPECT_EQ(reply.answer.at("id"), 1);
}

TEST(ProgramExpert, SpeaksPlainTextToo) {
  auto options = answering("echo \"${line^^}\"");
  options.speaks = "text";
  ProgramExpert expert("upper", options);
  EXPECT_EQ(expert.ask("a word").answer, "A WORD");
  expect_part(refusal<ValueError>([&] { expert.ask("two\nlines"); }), "a question on one line");
}

TEST(ProgramExpert, AProgramForOneQuestionHearsItsEnd) {
  auto options = script("wc -c");  // answers when its input ends
  options.speaks = "text", options.once = true;
  ProgramExpert expert("count", options);
  EXPECT_EQ(std::stoi(expert.ask("four").answer.text()), 5);
  EXPECT_EQ(std::stoi(expert.ask("seven").answer.text()), 6);
  EXPECT_EQ(expert.record().starts, 2);
}

TEST(ProgramExpert, HangingItIsKilledAndAskedAgain) {
  auto options = answering(
      R"(n=$((n+1)); if [ $n = 2 ]; then sleep 1000 & echo $! > "$F"; wait; fi; echo "{\"answer\": 1}")");
  const auto file = std::filesystem::temp_directory_path() / ("gw_hang_" + std::to_string(::getpid()));
  options.command[2] = "F=" + file.string() + "; " + options.command[2];
  options.timeout = 0.2;
  ProgramExpert expert("slow", options);
  EXPECT_TRUE(expert.ask("a").answered);
  ProgramReply reply;
  const double seconds = seconds_of([&] { reply = expert.ask("b"); });
  EXPECT_TRUE(reply.answered) << reply.why;
  EXPECT_EQ(reply.attempts, 2);
  EXPECT_EQ(expert.record().timeouts, 1);
  EXPECT_LT(seconds, 15);
  pid_t sleeper = 0;
  std::ifstream(file) >> sleeper;
  ASSERT_GT(sleeper, 0);
  EXPECT_TRUE(soon_gone(sleeper)) << "what a killed program has started runs on";
  std::filesystem::remove(file);
}

TEST(ProgramExpert, OneThatAlwaysHangsIsGivenUp) {
  auto options = script("sleep 1000");
  options.start_timeout = 0.05, options.retries = 1, options.give_up = 3;
  ProgramExpert expert("dead", options);
  expect_part(expert.ask("a").why, "no answer in 0.05 s");
  EXPECT_FALSE(expert.given_up());
  EXPECT_EQ(expert.ask("b").attempts, 1);
  EXPECT_TRUE(expert.given_up());
  const auto third = expert.ask("c");
  EXPECT_EQ(third.attempts, 0);
  expect_part(third.why, "asked no more after 3 failures");
  EXPECT_EQ(expert.record().timeouts, 3);
}

TEST(ProgramExpert, OneThatDiesIsStartedAnew) {
  ProgramExpert expert("dies", answering(R"(n=$((n+1)); [ $n = 2 ] && exit 7; echo "{\"answer\": $n}")"));
  EXPECT_EQ(expert.ask("a").answer, 1);
  const auto reply = expert.ask("b");
  EXPECT_TRUE(reply.answered) << reply.why;
  EXPECT_EQ(expert.record().deaths, 1);
  EXPECT_EQ(expert.record().starts, 2);
  auto options = script("read -r line; kill -9 $$");
  options.retries = 0;
  ProgramExpert killed("killed", options);
  expect_part(killed.ask("a").why, "ended without an answer: killed by signal 9");
}

TEST(ProgramExpert, OneThatIsNotThereIsNamed) {
  auto options = script("");
  options.command = {"no-such-program-as-this"};
  ProgramExpert absent("absent", options);
  expect_part(absent.ask("a").why, "no program \"no-such-program-as-this\" in PATH");
  EXPECT_EQ(absent.record().attempts, 0) << "nothing was sent, nothing is paid";
  options.command = {"/no/such/program"};
  ProgramExpert elsewhere("elsewhere", options);
  expect_part(elsewhere.ask("a").why, "cannot start /no/such/program");
  options.command = {};
  expect_part(refusal<ValueError>([&] { ProgramExpert("none", options); }), "expected a command");
}

TEST(ProgramExpert, NonsenseIsRefusedInWords) {
  const std::pair<const char*, const char*> cases[] = {
      {"echo hello", "the answer:1:"},
      {"echo '[1, 2]'", "expected {\"id\": 1, \"answer\": …}, got [1, 2]"},
      {"echo '{\"answer\": null}'", "\"answer\": …}, got"},
      {"echo '{\"id\": 77, \"answer\": 1}'", "got {\"id\": 77"},
      {"echo '{\"answer\": 1}'; echo '{\"answer\": 2}'; sleep 0.2", "2 lines in place of one answer"},
      {"printf '\\xff\\xfe\\n'", "expected text in UTF-8, got \"\\xff\\xfe\""},
      {"head -c 200000 /dev/zero | tr '\\0' x", "expected lines of at most 65536 bytes"},
      {"head -c 30000 /dev/zero | tr '\\0' '['; echo", "nested at most 64 deep"},
  };
  for (const auto& [each, why] : cases) {
    auto options = answering(each);
    options.retries = 0, options.give_up = 100;
    ProgramExpert expert("odd", options);
    // Two lines may come one after the other: then the second is a word that nobody asked for.
    const auto reply = expert.ask("a");
    if (std::string(why).starts_with("2 lines") && reply.answered) {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      expect_part(expert.ask("b").why, "spoke without being asked");
    } else {
      EXPECT_FALSE(reply.answered) << each;
      expect_part(reply.why, why);
    }
    EXPECT_EQ(expert.record().nonsense, 1) << each;
  }
}

TEST(ProgramExpert, DecliningIsNoFailureOfTheProgram) {
  auto options = answering(R"(echo '{"error": "not my field"}')");
  options.retries = 3, options.give_up = 1;
  ProgramExpert expert("modest", options);
  for (int i = 0; i < 3; ++i) {
    const auto reply = expert.ask("a");
    expect_part(reply.why, "declined: not my field");
    EXPECT_EQ(reply.attempts, 1);
  }
  EXPECT_FALSE(expert.given_up());
  EXPECT_EQ(expert.record().starts, 1);
}

TEST(ProgramExpert, OneThatReadsNothingCannotHoldUpTheAsker) {
  auto options = script("sleep 1000");
  options.start_timeout = 0.1, options.retries = 0;
  ProgramExpert expert("deaf", options);
  const double seconds =
      seconds_of([&] { expect_part(expert.ask(std::string(900000, 'x')).why, "no answer in 0.1 s"); });
  EXPECT_LT(seconds, 10);
  expect_part(refusal<ValueError>([&] { expert.ask(std::string(2000000, 'x')); }), "at most 1048576 bytes");
}

TEST(ProgramExpert, OneThatClosesItsOutputAndRunsOnHasEnded) {
  auto options = script("exec 0<&- 1>&-; sleep 1000");
  options.retries = 0;
  ProgramExpert expert("mute", options);
  expect_part(expert.ask("a").why, "ended without an answer: closed its output");
}

TEST(Programs, ATableOfThemIsRead) {
  const Json table{{"a", {{"command", {"python3", "data:iris.csv"}}, {"price", 2.5}}},
                   {"b", {{"command", {"bc"}}, {"speaks", "text"}}}};
  const auto programs = read_programs("team", table);
  ASSERT_EQ(programs.size(), 2u);
  EXPECT_EQ(programs[0].first, "a");
  EXPECT_EQ(programs[0].second.price, 2.5);
  const auto found = with_data_paths("team.a", programs[0].second);
  EXPECT_TRUE(std::filesystem::exists(found.command[1])) << found.command[1];
  expect_part(refusal<ValueError>([] { read_programs("team", Json::object()); }),
              "expected a table of experts");
  expect_part(refusal<ValueError>([] {
                read_programs("team", {{"a", {{"price", 1}}}});
              }),
              "team.a: expected a \"command\"");
  expect_part(refusal<ValueError>([] {
                read_programs("team", {{"../a", {{"command", {"x"}}}}});
              }),
              "small letters, digits and _");
  expect_part(refusal<ValueError>([] {
                read_programs("team", {{"a", {{"comand", {"x"}}}}});
              }),
              "did you mean \"command\"?");
  expect_part(refusal<ValueError>([] {
                read_programs("team", {{"a", {{"command", {"x"}}, {"price", -1}}}});
              }),
              "price");
  ProgramOptions options;
  options.command = {"x", "data:no-such-file"};
  expect_part(refusal<IoError>([&] { with_data_paths("team.a", options); }), "no-such-file");
}

}  // namespace gw::test::program_expert_cases
