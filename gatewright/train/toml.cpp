#include "gatewright/train/toml.h"

#include <algorithm>
#include <sstream>
#include <tuple>
#include <utility>
#include <vector>

#include "gatewright/base/check.h"
#include "gatewright/base/json.h"

namespace gw::inline train {
namespace {

/// The parser states what it expects of the next character with assertions, and malformed text breaks some of
/// them ("[=" in 3.3.0). They would abort the program, or, compiled away, let it read on from an impossible
/// state.
struct BrokenAssertion {};

[[noreturn]] void broken_assertion() { throw BrokenAssertion{}; }

}  // namespace
}  // namespace gw::inline train

#define TOML_EXCEPTIONS 1
#define TOML_ASSERT(expression) ((expression) ? static_cast<void>(0) : ::gw::broken_assertion())
#pragma push_macro("NDEBUG")
#undef NDEBUG  // with it the header replaces the assertions by assumptions
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

namespace gw::inline train {
namespace {

struct Place {
  size_t line = 1, column = 1;
};

Place place_of(std::string_view text, size_t at) {
  const auto before = text.substr(0, at);
  const size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return {1 + static_cast<size_t>(std::count(before.begin(), before.end(), '\n')), 1 + at - line_start};
}

/// The first character after the string that begins at `at`. One on a single line ends with the line at the
/// latest.
size_t end_of_string(std::string_view text, size_t at) {
  const char quote = text[at];
  const std::string three(3, quote);
  const bool lines = text.substr(at, 3) == three;
  for (size_t i = at + (lines ? 3 : 1); i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (!lines && (text[i] == quote || text[i] == '\n')) {
      return text[i] == '\n' ? i : i + 1;
    } else if (lines && text.substr(i, 3) == three) {
      i += 3;
      for (int more = 0; more < 2 && i < text.size() && text[i] == quote; ++more)
        ++i;  // up to two quotes may stand before the three
      return i;
    }
  }
  return text.size();
}

bool breaks_assertion(std::string_view text) {
  try {
    std::ignore = toml::parse(text);
  } catch (const toml::parse_error&) {
  } catch (const BrokenAssertion&) {
    return true;
  }
  return false;
}

/// Where the parser stood when its assertion broke: it reads forwards, so this is the end of the shortest
/// beginning that breaks it too.
/// Twenty parses for a text of 1 MiB.
size_t broken_at(std::string_view text) {
  size_t good = 0, bad = text.size();
  while (bad - good > 1) {
    const size_t middle = good + (bad - good) / 2;
    (breaks_assertion(text.substr(0, middle)) ? bad : good) = middle;
  }
  return bad == 0 ? 0 : bad - 1;
}

}  // namespace

void refuse_deep(std::string_view text, const std::string& where) {
  std::vector<int> levels{1};  // of the current key, for each bracket that is open
  int depth = 1;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      i = end_of_string(text, i) - 1;
    } else if (c == '#') {
      i = std::min(text.find('\n', i), text.size()) - 1;
    } else if (c == '.') {
      ++levels.back(), ++depth;
    } else if (c == '[' || c == '{') {
      levels.push_back(1), ++depth;
    } else if ((c == ']' || c == '}') && levels.size() > 1) {
      depth -= levels.back(), levels.pop_back();
    } else if (c == '\n' || c == ',') {
      depth -= levels.back() - 1, levels.back() = 1;
    }
    if (depth <= kTomlLevels) continue;
    const auto place = place_of(text, i);
    fail(
        "{}:{}:{}: expected keys, tables and lists nested at most {} deep, got more; use fewer dots and "
        "brackets",
        where, place.line, place.column, kTomlLevels);
  }
}

Json parse_toml(const std::string& text, const std::string& where) {
  refuse_deep(text, where);
  // Without indentation: a line 64 deep would grow by 256 blanks.
  constexpr auto kFlags = toml::json_formatter::default_flags &
                          ~(toml::format_flags::quote_dates_and_times | toml::format_flags::indentation);
  try {
    std::ostringstream out;
    out << toml::json_formatter(toml::parse(text, where), kFlags);
    Json document = Json::parsed(out.str()).value_or(Json());
    GW_CHECK(document.is_object(), "{}:1:1: expected TOML that JSON can hold, got something else", where);
    return document;
  } catch (const toml::parse_error& error) {
    fail("{}:{}:{}: expected TOML, got an error: {}", where, error.source().begin.line,
         error.source().begin.column, error.description());
  } catch (const BrokenAssertion&) {
    const auto place = place_of(text, broken_at(text));
    fail("{}:{}:{}: expected TOML, got a character that cannot stand here", where, place.line, place.column);
  }
}

}  // namespace gw::inline train
