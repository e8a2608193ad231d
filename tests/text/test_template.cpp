// Chat templates against what Python's Jinja makes of them (tests/text/make_template_golden.py).
#include <gtest/gtest.h>

#include "gatewright/base/file.h"
#include "gatewright/base/json_text.h"
#include "gatewright/text/template/chat_template.h"

namespace gw::test::template_cases {
namespace {

const std::string kFolder = std::string(GW_SOURCE_ROOT) + "tests/text/";

std::string source_of(const Json& one) {
  const std::string& text = one["template"].text();
  return text.ends_with(".jinja") ? read_file(kFolder + "templates/" + text, 1 << 20) : text;
}

/// What a template gives, or "error: " and the message.
std::string outcome(const std::string& source, const std::string& variables, bool ordered = true) {
  try {
    const ChatTemplate made(source);
    return ordered ? made.render_text(variables) : made.render(Json::parse(variables));
  } catch (const ValueError& error) {
    return std::string("error: ") + error.what();
  }
}

std::string error_of(const std::string& source, const Json& variables = Json::object()) {
  const std::string got = outcome(source, variables.dump());
  EXPECT_TRUE(got.starts_with("error: ")) << source << " gave " << got.substr(0, 100);
  return got;
}

void expect_error(const std::string& source, const std::string& part) {
  const std::string got = error_of(source);
  EXPECT_NE(got.find(part), std::string::npos) << source.substr(0, 100) << " gave " << got;
}

std::string times(const std::string& text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

// A character more or less in any of these breaks what a model was trained on.
TEST(ChatTemplate, GivesWhatJinjaGives) {
  const Json cases = read_json(kFolder + "golden/templates.json");
  ASSERT_GT(cases.size(), 400u);
  size_t families = 0, errors = 0;
  for (const Json& one : cases) {
    const std::string name = one["name"].text(), got = outcome(source_of(one), one["variables"].text());
    const std::string unordered = outcome(source_of(one), one["variables"].text(), false);
    families += one["template"].text().ends_with(".jinja") ? 1 : 0;
    if (one["expected"].is_null()) {
      ++errors;
      EXPECT_TRUE(got.starts_with("error: chat template, line ")) << name << " gave " << got;
      EXPECT_NE(got.find(one.value("says", "")), std::string::npos) << name << " gave " << got;
      EXPECT_EQ(unordered, got) << name;
    } else {
      EXPECT_EQ(got, one["expected"].text()) << name;
      EXPECT_EQ(unordered, one.value("sorted", one["expected"].text())) << name;
    }
  }
  EXPECT_GT(families, 150u);
  EXPECT_GT(errors, 150u);
}

TEST(ChatTemplate, ErrorsNameTheLineTheConstructAndTheNearMiss) {
  expect_error("a\nb\n{{ 'x'|uper }}",
               "line 3: expected a known filter, got \"uper\"; did you mean \"upper\"?");
  expect_error("{{ 1 is defind }}", "did you mean \"defined\"?");
  expect_error("{{ rang(3) }}", "\"rang\" is undefined; did you mean \"range\"?");
  expect_error("{{ 'a'.strp() }}", "a str without \"strp\"; did you mean \"strip\"?");
  expect_error("{% iff 1 %}", "line 1: expected a known block, got \"iff\"; did you mean \"if\"?");
  expect_error("{% macro m(first) %}{% endmacro %}\n{{ m(frist=1) }}",
               "line 2: m: expected a known argument, got \"frist\"");
  expect_error("{% set m = {} %}{{ m.a.b }}", "expected a value before .b, got none: a dict without \"a\"");
  expect_error("\n{% for x in [1] %}\n{{ raise_exception('roles must alternate') }}\n{% endfor %}",
               "line 3: roles must alternate");
  expect_error("{% if 1 %}\n\n", "line 2: expected {% endif %}, got the end of the template");
  expect_error("\xFF", "expected UTF-8");
  expect_error("{{ \x01 }}", "got \"\\x01\"");
}

// Without its limit, each of these runs for hours, or out of memory or stack.
TEST(ChatTemplate, HostileTemplatesEnd) {
  const std::string many = "{% for i in range(100000) %}";
  expect_error(many + many + "{% endfor %}{% endfor %}", "steps");
  expect_error("{% set x = 'a' * 10000 %}" + many + "{{ x }}{% endfor %}", "bytes");
  expect_error("{{ 'a' * 1000000000000 }}", "characters or elements");
  expect_error("{{ [1] * 9000000000000000000 }}", "characters or elements");
  expect_error("{{ ('a' * 10000000)|replace('a', 'b' * 10000000) }}", "bytes");
  expect_error("{{ ('a' * 10000000)|list }}", "steps");
  expect_error("{{ 'a'|indent(100000000) }}", "bytes");
  expect_error("{{ [[1]]|tojson(indent=100000000) }}", "bytes");
  expect_error("{{ '%99999999999999d' % 1 }}", "width");
  expect_error("{{ range(9223372036854775807) }}", "range: expected at most");
  expect_error("{{ range(-9223372036854775807, 9223372036854775807, 1) }}", "range: expected at most");
  expect_error("{{ 10 ** 1000000000 }}", "64 bits");
  expect_error("{{ 9223372036854775807 + 1 }}", "64 bits");
  expect_error("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "levels");
  expect_error("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", "levels");
  expect_error("{{ " + times("(", 100000) + "1" + times(")", 100000) + " }}", "levels");
  expect_error("{{ " + times("not ", 100000) + "1 }}", "levels");
  expect_error("{{ " + times("-", 100000) + "1 }}", "levels");
  expect_error("{{ 1" + times(" + 1", 100000) + " }}", "levels");
  expect_error("{{ x" + times(".y", 100000) + " }}", "levels");
  expect_error("{{ 1" + times(" if 1 else 1", 50000) + " }}", "levels");
  expect_error(times("{% if 1 %}", 40000) + times("{% endif %}", 40000), "levels");
  expect_error(times("a", (1 << 20) + 1), "bytes");
}

TEST(ChatTemplate, HostileValuesEnd) {
  const std::string many = "{% for i in range(100000) %}";
  expect_error("{% set ns = namespace(x=1) %}" + many + "{% set ns.x = [ns.x] %}{% endfor %}",
               "within each other");
  expect_error(
      "{% set ns = namespace(x=[1, 1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ "
      "ns.x }}",
      "steps");
  expect_error(
      "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
      "bytes");
  expect_error("{{ ('a' * 8000000 ~ 'b') in ('a' * 16000000) }}", "steps");
  expect_error("{{ ('a' * 16000000).split('a' * 8000000 ~ 'b') }}", "steps");
  expect_error("{{ (['A' * 16000000] * 100000)|sort }}", "steps");
  expect_error("{{ " + times("x", 2000) + " }}", "names");
  expect_error("{% set s = ',' * 1000000 %}{{ ([1] * 100000)|tojson(separators=(s, s)) }}", "bytes");
  EXPECT_EQ(outcome("{{ (" + times("'ab' ", 200000) + ")|length }}", "{}"), "400000");
  expect_error("{% set ns = namespace() %}{% set ns.x = ns %}", "got a namespace");
  expect_error("{% macro m() %}{% endmacro %}{{ [m] }}", "got a function");
}

// What templates within the limits may ask for: these must not be refused.
TEST(ChatTemplate, LimitsLeaveRoomForLongConversations) {
  Json messages = Json::array();
  const std::string line(4000, 'x');
  for (int i = 0; i < 500; ++i)
    messages.push_back({{"role", i % 2 ? "assistant" : "user"}, {"content", line}});
  const ChatTemplate qwen(read_file(kFolder + "templates/qwen3.jinja", 1 << 20));
  ChatInput input;
  input.messages = messages;
  const std::string text = render_chat(qwen, input);
  EXPECT_GT(text.size(), 500u * 4000u);
  EXPECT_TRUE(text.ends_with("<|im_start|>assistant\n"));
  expect_error("{{ " + std::string(60, '(') + "1" + std::string(60, ')') + " }}", "levels");
  EXPECT_EQ(outcome("{{ " + std::string(40, '(') + "1" + std::string(40, ')') + " }}", "{}"), "1");
}

TEST(ChatTemplate, RendersConversations) {
  const ChatTemplate made(
      "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
      "{% if add_generation_prompt %}[assistant]{% endif %}{{ tools is none }}{{ strftime_now is defined "
      "}}{{ mood }}");
  ChatInput input;
  input.messages = Json::array({Json::object({{"role", "user"}, {"content", "hi"}})});
  input.bos_token = "<s>";
  input.eos_token = "</s>";
  input.more = {{"mood", "calm"}};
  EXPECT_EQ(render_chat(made, input), "<s>[user]hi</s>[assistant]TrueFalsecalm");
  input.date = "2026-01-31";
  input.add_generation_prompt = false;
  input.tools = Json::array({Json::object()});
  EXPECT_EQ(render_chat(made, input), "<s>[user]hi</s>FalseTruecalm");
  input.messages = "hi";
  EXPECT_THROW(render_chat(made, input), ValueError);
}

TEST(ChatTemplate, RefusesDatesThatAreNone) {
  for (const char* date :
       {"", "today", "2026-02-29", "2026-13-01", "2026-00-01", "2026-01-31 25:00:00", "2026-01-31x", "26-1"})
    EXPECT_TRUE(
        outcome("{{ strftime_now('%Y') }}", Json{{"strftime_now", date}}.dump()).starts_with("error: "))
        << date;
  EXPECT_EQ(outcome("{{ strftime_now('%d %A %j') }}", R"({"strftime_now": "2024-12-31"})"), "31 Tuesday 366");
}

TEST(ChatTemplate, RefusesVariablesThatAreNone) {
  for (const char* variables : {"", "[1]", "1", "{", "{\"a\": 18446744073709551615}", "{\"a\": nope}"})
    EXPECT_TRUE(outcome("{{ a }}", variables).starts_with("error: ")) << variables;
  EXPECT_THROW(ChatTemplate("{{ a }}").render({{"a", std::string("\xFF")}}), ValueError);
  std::string deep(3000, '[');
  EXPECT_TRUE(outcome("{{ a }}", "{\"a\": " + deep + std::string(3000, ']') + "}").starts_with("error: "));
}

}  // namespace
}  // namespace gw::test::template_cases
