// A team of programs from outside: composed, asked, refused.
#include <gtest/gtest.h>

#include "tests/cli/shell.h"
#include "tests/runs/scratch.h"

namespace gw::test::team_cases {

constexpr const char* kTeam = R"(
questions = "QUESTIONS"
budget = 2.5
router = { neighbours = 3, unsure = 0.0 }

[experts.sums]
command = ["python3", "-u", "-c", '''
import json, sys
for line in sys.stdin:
    text = json.loads(line)["text"]
    print(json.dumps({"answer": eval(text, {})} if set(text) <= set("0123456789+ ") else {"error": "no sum"}))
''']
price = 1.0

[experts.upper]
command = ["bash", "-c", 'while read -r line; do echo "${line^^}"; done']
speaks = "text"
price = 3.0
)";

std::string team_in(const Scratch& scratch) {
  std::string questions, file = kTeam;
  for (int i = 1; i < 40; ++i) {
    const auto n = std::to_string(i);
    questions += R"({"text": ")" + n + " + " + n + R"(", "answer": )" + std::to_string(2 * i) +
                 R"(, "category": "sums"})"
                 "\n";
    const std::string word(static_cast<size_t>(i % 7 + 1), static_cast<char>('a' + i % 26));
    std::string loud = word;
    for (auto& c : loud) c = static_cast<char>(c - 'a' + 'A');
    questions += R"({"text": "w)" + word + R"(", "answer": "W)" + loud +
                 R"(", "category": "words"})"
                 "\n";
  }
  write_file(scratch / "questions.jsonl", questions);
  file.replace(file.find("QUESTIONS"), 9, scratch / "questions.jsonl");
  write_file(scratch / "team.toml", file);
  return scratch / "team.toml";
}

TEST(TeamCommands, ComposeAndAsk) {
  const Scratch scratch;
  const auto composed = cli("compose " + team_in(scratch) + " --quiet");
  expect(composed, 0, "upper");
  expect(composed, 0, "of 2.5");
  const auto team = scratch / "team.json";
  expect(cli("ask " + team + " '20 + 22'"), 0, "42");
  const auto many = shell("printf '1 + 1\\nwords\\n' | " GW_CLI " ask " + team + " --json");
  expect(many, 0, R"({"answer":2,"category":"sums","expert":"sums","price":1.0})");
  expect(many, 0, R"("answer":"WORDS")");
}

TEST(TeamCommands, SayWhatIsWrong) {
  const Scratch scratch;
  expect(cli("compose " + (scratch / "none.toml")), 2, "none.toml");
  write_file(scratch / "odd.toml", "budget = 1.0\n[experts.a]\ncomand = [\"x\"]\n");
  expect(cli("compose " + (scratch / "odd.toml")), 2, "did you mean \"command\"?");
  write_file(scratch / "odd.json", "{}");
  expect(cli("ask " + (scratch / "odd.json") + " hello"), 2, "expected a team of `gatewright compose`");
}

}  // namespace gw::test::team_cases
