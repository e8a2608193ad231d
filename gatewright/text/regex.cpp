#include "gatewright/text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/unicode.h"

namespace gw::inline text {
namespace {

constexpr size_t kPatternLimit_bytes = 64 << 10;
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kHeapLimit_kib = 64 << 10;
constexpr size_t kStackLimit_bytes = 8 << 20;

std::string message_of(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

/// What a thread needs for matching, made once for each thread.
struct Matcher {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 << 10, kStackLimit_bytes, nullptr);

  Matcher() {
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_set_heap_limit(context, kHeapLimit_kib);
    if (stack != nullptr) pcre2_jit_stack_assign(context, nullptr, stack);
  }
  Matcher(const Matcher&) = delete;
  Matcher& operator=(const Matcher&) = delete;
  ~Matcher() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
};

Matcher& matcher() {
  static thread_local Matcher here;
  return here;
}

}  // namespace

struct Regex::State {
  std::string pattern, place;
  std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> code{nullptr, &pcre2_code_free};
};

Regex::Regex(const std::string& pattern, const std::string& place) : state_(std::make_unique<State>()) {
  GW_CHECK(pattern.size() <= kPatternLimit_bytes, "{}: expected a pattern of at most {} bytes, got {}", place,
           kPatternLimit_bytes, pattern.size());
  state_->pattern = pattern;
  state_->place = place;
  const std::string rewritten = pcre_pattern(pattern, place);
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context.get(), 200);
  int code = 0;
  PCRE2_SIZE offset = 0;
  // ^ and $ match at lines, and a pattern cannot call out or match half a code point.
  state_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(rewritten.data()), rewritten.size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code,
                                   &offset, context.get()));
  GW_CHECK(state_->code != nullptr, "{}: expected a regular expression, got \"{}\": {} at byte {}", place,
           shown(rewritten, 200), message_of(code), offset);
  pcre2_jit_compile(state_->code.get(), PCRE2_JIT_COMPLETE);  // where it cannot, patterns are interpreted
}

Regex::~Regex() = default;

const std::string& Regex::pattern() const { return state_->pattern; }

void Regex::each_match(std::string_view text, const std::function<void(size_t, size_t)>& found) const {
  const Matcher& here = matcher();
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* place = pcre2_get_ovector_pointer(here.data);
  size_t from = 0, last_end = std::string_view::npos;
  while (from <= text.size()) {
    const int code = pcre2_match(state_->code.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                                 here.data, here.context);
    if (code == PCRE2_ERROR_NOMATCH) return;
    GW_CHECK(code >= 0,
             "{}: expected a match within the limits, got \"{}\" for \"{}\" at byte {} of {}; use a pattern "
             "without nested repetitions",
             state_->place, message_of(code), shown(state_->pattern, 200), from, text.size());
    const size_t begin = place[0], end = place[1];
    GW_CHECK(begin <= end && begin >= from, "{}: expected matches from left to right, got \\K in \"{}\"",
             state_->place, shown(state_->pattern, 200));
    if (begin == end && end == last_end) {
      if (from >= text.size()) return;
      from += utf8_length(text[from]);
      continue;
    }
    from = last_end = end;
    found(begin, end);
  }
}

}  // namespace gw::inline text
