// Templates that nobody wrote: mutations of those in the golden file. They may fail with a ValueError and in
// no other way, and must end. What breaks this: a read past the end of the tokens, a value that outlives its
// owner, a limit that is forgotten (run with the address sanitizer as well).
#include <gtest/gtest.h>

#include <algorithm>

#include "gatewright/base/file.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/rng.h"
#include "gatewright/text/template/chat_template.h"

namespace gw::test::template_fuzz {
namespace {

const std::string kFolder = std::string(GW_SOURCE_ROOT) + "tests/text/";

struct Case {
  std::string source, variables;
};

std::vector<Case> seeds() {
  std::vector<Case> all;
  for (const Json& one : read_json(kFolder + "golden/templates.json")) {
    const std::string& text = one["template"].text();
    all.push_back({text.ends_with(".jinja") ? read_file(kFolder + "templates/" + text, 1 << 20) : text,
                   one["variables"].text()});
  }
  return all;
}

/// Up to four changes: bytes, pieces cut, doubled, moved or taken from another template, words of the
/// language put in.
std::string mutated(std::string text, const std::vector<Case>& all, const Rng& rng) {
  static constexpr const char* kWords[] = {"{{",
                                           "}}",
                                           "{%",
                                           "%}",
                                           "{#",
                                           "#}",
                                           "-",
                                           "(",
                                           ")",
                                           "[",
                                           "]",
                                           "{",
                                           "}",
                                           "|",
                                           ".",
                                           ",",
                                           "'",
                                           "\"",
                                           "\\",
                                           " not ",
                                           " in ",
                                           " is ",
                                           " if ",
                                           " else ",
                                           "loop",
                                           "self",
                                           "**",
                                           "//",
                                           "%",
                                           "~",
                                           ":",
                                           "=",
                                           "range(99999)",
                                           "namespace()",
                                           "9223372036854775807",
                                           "-1",
                                           "1e308",
                                           "none",
                                           "{% for x in x %}",
                                           "{% endfor %}",
                                           "{% macro x(x) %}",
                                           "{% endmacro %}",
                                           "\xC3",
                                           "{% set x = x %}",
                                           "|list",
                                           "|tojson",
                                           "|map(attribute='x')",
                                           "* 99999",
                                           "é",
                                           "\n"};
  uint64_t draw = 0;
  const auto below = [&](size_t n) { return static_cast<size_t>(rng.below(draw++, std::max<size_t>(n, 1))); };
  for (size_t change = 0, changes = 1 + below(4); change < changes; ++change) {
    const size_t at = below(text.size() + 1), size = std::min(text.size() - at, below(1 + below(60)));
    switch (below(6)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(below(256));
        break;
      case 1:
        text.erase(at, size);
        break;
      case 2:
        text.insert(below(text.size() + 1), text.substr(at, size));
        break;
      case 3: {
        const std::string& other = all[below(all.size())].source;
        text.insert(at, other.substr(below(other.size() + 1), below(80)));
        break;
      }
      default:
        text.insert(at, kWords[below(std::size(kWords))]);
    }
  }
  return text;
}

size_t run(uint64_t seed, size_t rounds) {
  const std::vector<Case> all = seeds();
  const Rng rng = Rng(seed).fork("templates");
  size_t rendered = 0;
  for (size_t i = 0; i < rounds; ++i) {
    const Case& start = all[rng.below(2 * i, all.size())];
    const std::string source = mutated(start.source, all, rng.fork("mutation", i));
    try {
      const std::string text = ChatTemplate(source).render_text(start.variables);
      EXPECT_LE(text.size(), size_t{16} << 20);
      ++rendered;
    } catch (const ValueError& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with("chat template")) << error.what();
    }
  }
  return rendered;
}

TEST(ChatTemplateFuzz, MutationsEndWithATextOrAnError) {
  const size_t rendered = run(1, 6000);
  EXPECT_GT(rendered, 500u);   // not all of them are broken …
  EXPECT_LT(rendered, 5500u);  // … and not all of them harmless
}

TEST(ChatTemplateFuzz, SlowMutationsEndWithATextOrAnError) { EXPECT_GT(run(2, 150000), 10000u); }

}  // namespace
}  // namespace gw::test::template_fuzz
