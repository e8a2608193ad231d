// The methods of texts.
#include <algorithm>
#include <limits>

#include "gatewright/base/check.h"
#include "gatewright/text/template/characters.h"
#include "gatewright/text/template/format.h"
#include "gatewright/text/template/methods.h"
#include "gatewright/text/template/operators.h"
#include "gatewright/text/template/printing.h"
#include "gatewright/text/template/split.h"

namespace gw::inline text::jinja {
namespace {

Value made(Meter& meter, std::string text) {
  meter.text(text.size());
  return Value(std::move(text));
}

/// A change of all of the text, without arguments.
template <std::string (*kChange)(std::string_view)>
Value changed(Meter& meter, const Value& self, const Arguments& arguments) {
  Parameters(arguments, "a method that changes the case", {});
  meter.step(self.text().size() / 16);
  return made(meter, kChange(self.text()));
}

template <Side kSide>
Value strip(Meter& meter, const Value& self, const Arguments& arguments) {
  const Parameters given(arguments, "strip", {"chars"});
  const bool blank = !given.has(0) || given[0].is_none();
  const std::string* unwanted = blank ? nullptr : &given.text(0);
  meter.search(self.text().size(), blank ? 0 : unwanted->size());
  return made(meter, std::string(stripped(self.text(), unwanted, kSide)));
}

template <bool kFromRight>
Value split(Meter& meter, const Value& self, const Arguments& arguments) {
  const Parameters given(arguments, "split", {"sep", "maxsplit"});
  const bool blank = !given.has(0) || given[0].is_none();
  return split_text(meter, self.text(), blank ? nullptr : &given.text(0), given.whole(1, -1), kFromRight);
}

Value splitlines(Meter& meter, const Value& self, const Arguments& arguments) {
  Parameters(arguments, "splitlines", {});
  meter.step(self.text().size());
  Values lines;
  for (const std::string_view line : lines_of(self.text())) lines.emplace_back(std::string(line));
  return make_sequence(meter, std::move(lines));
}

template <bool kEnd>
Value begins(Meter& meter, const Value& self, const Arguments& arguments) {
  const Parameters given(arguments, kEnd ? "endswith" : "startswith", {"text"}, 1);
  const std::string& text = self.text();
  const bool several =
      given[0].is(Value::Kind::sequence) && given[0].sequence().form == Sequence::Form::tuple;
  const Values wanted = several ? given[0].sequence().elements : Values{given[0]};
  for (const Value& one : wanted) {
    GW_CHECK(one.is_text(), "{}: expected a text, got a {}", kEnd ? "endswith" : "startswith",
             type_name(one));
    meter.step(1 + one.text().size() / 64);
    if (kEnd ? text.ends_with(one.text()) : text.starts_with(one.text())) return Value(true);
  }
  return Value(false);
}

template <bool kLast, bool kNeeded>
Value find(Meter& meter, const Value& self, const Arguments& arguments) {
  const Parameters given(arguments, "find", {"text"}, 1);
  const std::string& text = self.text();
  meter.search(text.size(), given.text(0).size());
  const size_t at = kLast ? text.rfind(given.text(0)) : text.find(given.text(0));
  GW_CHECK(!kNeeded || at != std::string::npos,
           "index: expected a text within the text, got one that is not there");
  if (at == std::string::npos) return Value(int64_t{-1});
  return Value(static_cast<int64_t>(count_characters(std::string_view(text).substr(0, at))));
}

Value count(Meter& meter, const Value& self, const Arguments& arguments) {
  const Parameters given(arguments, "count", {"text"}, 1);
  const std::string &text = self.text(), &wanted = given.text(0);
  meter.search(text.size(), wanted.size());
  if (wanted.empty()) return Value(static_cast<int64_t>(count_characters(text)) + 1);
  int64_t found = 0;
  for (size_t at = text.find(wanted); at != std::string::npos; at = text.find(wanted, at + wanted.size()))
    ++found;
  return Value(found);
}

Value replace(Meter& meter, const Value& self, const Arguments& arguments) {
  const Parameters given(arguments, "replace", {"old", "new", "count"}, 2);
  return Value(replaced(meter, self.text(), given.text(0), given.text(1), given.whole(2, -1)));
}

Value join(Meter& meter, const Value& self, const Arguments& arguments) {
  const Parameters given(arguments, "join", {"texts"}, 1);
  std::string out;
  const auto all = elements_of(meter, given[0], "join");
  for (size_t i = 0; i < all->elements.size(); ++i) {
    GW_CHECK(all->elements[i].is_text(), "join: expected texts, got a {}", type_name(all->elements[i]));
    meter.grow(out.size(), self.text().size() + all->elements[i].text().size());
    if (i > 0) out += self.text();
    out += all->elements[i].text();
  }
  return Value(std::move(out));
}

Value format(Meter& meter, const Value& self, const Arguments& arguments) {
  return Value(format_braces(meter, self.text(), arguments));
}

template <bool kEnd>
Value remove(Meter& meter, const Value& self, const Arguments& arguments) {
  const Parameters given(arguments, kEnd ? "removesuffix" : "removeprefix", {"text"}, 1);
  const std::string &text = self.text(), &gone = given.text(0);
  if (!(kEnd ? text.ends_with(gone) : text.starts_with(gone))) return self;
  return made(meter, kEnd ? text.substr(0, text.size() - gone.size()) : text.substr(gone.size()));
}

/// Whether there are characters, and all of them are decimal digits of ASCII, or white space.
template <bool kDigits>
Value all_are(Meter& meter, const Value& self, const Arguments& arguments) {
  Parameters(arguments, kDigits ? "isdigit" : "isspace", {});
  meter.step(self.text().size());
  const auto all = characters(self.text());
  return Value(!all.empty() && std::all_of(all.begin(), all.end(), [](std::string_view one) {
    return kDigits ? one[0] >= '0' && one[0] <= '9' : is_space(code_point(one));
  }));
}

template <bool kUpper>
Value has_case(Meter& meter, const Value& self, const Arguments& arguments) {
  Parameters(arguments, kUpper ? "isupper" : "islower", {});
  meter.step(self.text().size() / 16);
  return Value(is_in_case(self.text(), kUpper));
}

}  // namespace

const std::vector<NamedFunction>& text_methods() {
  static const std::vector<NamedFunction> kMethods = {{"capitalize", changed<capitalized>},
                                                      {"count", count},
                                                      {"endswith", begins<true>},
                                                      {"find", find<false, false>},
                                                      {"format", format},
                                                      {"index", find<false, true>},
                                                      {"isdigit", all_are<true>},
                                                      {"islower", has_case<false>},
                                                      {"isspace", all_are<false>},
                                                      {"isupper", has_case<true>},
                                                      {"join", join},
                                                      {"lower", changed<lower>},
                                                      {"lstrip", strip<Side::left>},
                                                      {"removeprefix", remove<false>},
                                                      {"removesuffix", remove<true>},
                                                      {"replace", replace},
                                                      {"rfind", find<true, false>},
                                                      {"rindex", find<true, true>},
                                                      {"rsplit", split<true>},
                                                      {"rstrip", strip<Side::right>},
                                                      {"split", split<false>},
                                                      {"splitlines", splitlines},
                                                      {"startswith", begins<false>},
                                                      {"strip", strip<Side::both>},
                                                      {"title", changed<titled>},
                                                      {"upper", changed<upper>}};
  return kMethods;
}

}  // namespace gw::inline text::jinja
