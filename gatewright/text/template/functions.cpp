#include "gatewright/text/template/functions.h"

#include <cstdio>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/template/characters.h"
#include "gatewright/text/template/operators.h"
#include "gatewright/text/template/printing.h"

namespace gw::inline text::jinja {
namespace {

Value range(Meter& meter, const Value&, const Arguments& arguments) {
  const Parameters given(arguments, "range", {"start", "stop", "step"}, 1);
  const int64_t start = given.has(1) ? given.whole(0, 0) : 0;
  const int64_t stop = given.has(1) ? given.whole(1, 0) : given.whole(0, 0);
  const int64_t step = given.whole(2, 1);
  GW_CHECK(step != 0, "range: expected a step that is not 0");
  const auto from = static_cast<uint64_t>(start), to = static_cast<uint64_t>(stop),
             by = static_cast<uint64_t>(step);
  const bool empty = step > 0 ? stop <= start : stop >= start;
  const uint64_t count = empty ? 0 : step > 0 ? (to - from - 1) / by + 1 : (from - to - 1) / (0 - by) + 1;
  GW_CHECK(count <= kRangeLimit, "range: expected at most {} numbers, got more", kRangeLimit);
  meter.step(count);
  auto made = std::make_shared<Sequence>();
  for (uint64_t i = 0; i < count; ++i) made->elements.emplace_back(static_cast<int64_t>(from + i * by));
  made->form = Sequence::Form::range;
  made->shown = step == 1 ? fmt::format("range({}, {})", start, stop)
                          : fmt::format("range({}, {}, {})", start, stop, step);
  return Value(std::shared_ptr<const Sequence>(std::move(made)));
}

/// What dict(…) and namespace(…) are filled with: a dict or pairs, then names.
Dict filled(Meter& meter, const char* function, const Arguments& arguments) {
  GW_CHECK(arguments.positional.size() <= 1, "{}: expected at most one value without a name, got {}",
           function, arguments.positional.size());
  Dict dict;
  if (!arguments.positional.empty() && arguments.positional[0].is(Value::Kind::dict)) {
    for (const auto& [key, value] : arguments.positional[0].dict().entries) put(meter, dict, key, value);
  } else if (!arguments.positional.empty()) {
    const auto all = elements_of(meter, arguments.positional[0], function);
    for (const Value& pair : all->elements) {
      const auto both = elements_of(meter, pair, function);
      GW_CHECK(both->elements.size() == 2, "{}: expected pairs, got {} values", function,
               both->elements.size());
      put(meter, dict, both->elements[0], both->elements[1]);
    }
  }
  for (const auto& [name, value] : arguments.named) put(meter, dict, Value(name), value);
  return dict;
}

Value make_dict(Meter& meter, const Value&, const Arguments& arguments) {
  return finished(filled(meter, "dict", arguments));
}

Value make_namespace(Meter& meter, const Value&, const Arguments& arguments) {
  auto names = std::make_shared<Names>();
  for (const auto& [key, value] : filled(meter, "namespace", arguments).entries)
    names->values[key.is_text() ? key.text() : printed(meter, key)] = value;
  return Value(std::move(names));
}

Value raise_exception(Meter& meter, const Value&, const Arguments& arguments) {
  const Parameters given(arguments, "raise_exception", {"message"}, 1);
  fail("{}", printed(meter, given[0]));
}

struct Moment {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;

  bool is_leap() const { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }
  int days_before(int of_month) const {
    static constexpr int kBefore[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    return kBefore[of_month - 1] + (of_month > 2 && is_leap() ? 1 : 0);
  }
  int day_of_year() const { return days_before(month) + day; }
  /// 0 is Sunday.
  int weekday() const {
    const int years = year - 1;
    return (years * 365 + years / 4 - years / 100 + years / 400 + day_of_year()) % 7;
  }
};

Moment read_moment(const std::string& text) {
  Moment moment;
  int used = 0;
  const int fields =
      std::sscanf(text.c_str(), "%4d-%2d-%2d%n%*1[ T]%2d:%2d:%2d%n", &moment.year, &moment.month, &moment.day,
                  &used, &moment.hour, &moment.minute, &moment.second, &used);
  const bool whole = (fields == 3 || fields == 6) && static_cast<size_t>(used) == text.size();
  const bool sound = whole && moment.year >= 1 && moment.month >= 1 && moment.month <= 12 &&
                     moment.day >= 1 &&
                     moment.day <= moment.days_before(moment.month + 1) - moment.days_before(moment.month) &&
                     moment.hour >= 0 && moment.hour < 24 && moment.minute >= 0 && moment.minute < 60 &&
                     moment.second >= 0 && moment.second < 60;
  GW_CHECK(sound, "strftime_now: expected a date as \"2026-01-31\" or \"2026-01-31 17:05:09\", got \"{}\"",
           shown(text, 60));
  return moment;
}

/// A date in English, by a letter of strftime; empty for letters of numbers.
std::string word_of(const Moment& now, char letter) {
  static constexpr const char* kMonths[] = {"January",   "February", "March",    "April",
                                            "May",       "June",     "July",     "August",
                                            "September", "October",  "November", "December"};
  static constexpr const char* kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                          "Thursday", "Friday", "Saturday"};
  const std::string month = kMonths[now.month - 1], day = kDays[now.weekday()];
  if (letter == 'B') return month;
  if (letter == 'b' || letter == 'h') return month.substr(0, 3);
  if (letter == 'A') return day;
  if (letter == 'a') return day.substr(0, 3);
  if (letter == 'p') return now.hour < 12 ? "AM" : "PM";
  if (letter == 'F') return fmt::format("{}-{:02}-{:02}", now.year, now.month, now.day);
  if (letter == 'T') return fmt::format("{:02}:{:02}:{:02}", now.hour, now.minute, now.second);
  return letter == '%' ? "%" : "";
}

/// One conversion of strftime; `bare`: without leading zeros ("%-d").
std::string converted(const Moment& now, char letter, bool bare) {
  const std::string word = word_of(now, letter);
  if (!word.empty()) return word;
  struct Number {
    char letter;
    int value, width;
  };
  const Number numbers[] = {{'Y', now.year, 1},   {'y', now.year % 100, 2},
                            {'m', now.month, 2},  {'d', now.day, 2},
                            {'e', now.day, 2},    {'j', now.day_of_year(), 3},
                            {'H', now.hour, 2},   {'I', (now.hour + 11) % 12 + 1, 2},
                            {'M', now.minute, 2}, {'S', now.second, 2}};
  for (const auto& [of, value, width] : numbers) {
    if (of != letter) continue;
    if (bare) return std::to_string(value);
    return of == 'e' ? fmt::format("{:2}", value) : fmt::format("{:0{}}", value, width);
  }
  fail("strftime_now: expected a conversion of YymdejBbhAaHIMSpFT%, got \"%{}\"",
       shown(std::string(1, letter)));
}

Value strftime_now(Meter& meter, const Value& self, const Arguments& arguments) {
  const Parameters given(arguments, "strftime_now", {"format"}, 1);
  const Moment now = read_moment(self.text());
  const std::string& format = given.text(0);
  std::string out;
  for (size_t at = 0; at < format.size(); ++at) {
    meter.step();
    if (format[at] != '%' || at + 1 == format.size()) {
      out += format[at];
      continue;
    }
    const bool bare = format[at + 1] == '-' && at + 2 < format.size();
    at += bare ? 2 : 1;
    out += converted(now, format[at], bare);
  }
  meter.text(out.size());
  return Value(std::move(out));
}

}  // namespace

const std::vector<NamedFunction>& functions() {
  static const std::vector<NamedFunction> kFunctions = {{"dict", make_dict},
                                                        {"namespace", make_namespace},
                                                        {"raise_exception", raise_exception},
                                                        {"range", range}};
  return kFunctions;
}

Value clock_at(const std::string& moment) {
  read_moment(moment);
  auto clock = std::make_shared<Callable>();
  clock->name = "strftime_now";
  clock->function = strftime_now;
  clock->self = Value(moment);
  return Value(std::shared_ptr<const Callable>(std::move(clock)));
}

}  // namespace gw::inline text::jinja
