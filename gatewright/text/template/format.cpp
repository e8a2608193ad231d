#include "gatewright/text/template/format.h"

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/template/characters.h"
#include "gatewright/text/template/operators.h"
#include "gatewright/text/template/printing.h"

namespace gw::inline text::jinja {
namespace {

constexpr int64_t kWidthLimit = 100'000;
constexpr int64_t kPrecisionLimit = 300;

/// One conversion: %[(name)][flags][width][.precision]letter.
struct Conversion {
  bool minus = false, plus = false, space = false, zero = false, alternate = false, named = false;
  int64_t width = 0, precision = -1;
  char letter = 0;
  std::string name;
};

class PercentFormat {
 public:
  PercentFormat(Meter& meter, const std::string& format, const Values& values)
      : meter_(meter), format_(format), values_(values) {}

  std::string run() {
    while (at_ < format_.size()) {
      const size_t next = std::min(format_.find('%', at_), format_.size());
      out_.append(format_, at_, next - at_);
      at_ = next;
      if (at_ < format_.size()) convert();
      meter_.grow(out_.size(), 0);
    }
    meter_.text(out_.size());
    // Python lets a value pass that takes [...], as a dict for %(name)s does
    const bool one =
        values_.size() == 1 &&
        (values_[0].is(Value::Kind::dict) || values_[0].is_undefined() ||
         (values_[0].is(Value::Kind::sequence) && values_[0].sequence().form <= Sequence::Form::range));
    GW_CHECK(next_ == values_.size() || one, "%: expected {} values for the format, got {}", next_,
             values_.size());
    return std::move(out_);
  }

 private:
  int64_t number(int64_t limit) {
    int64_t value = 0;
    for (; at_ < format_.size() && format_[at_] >= '0' && format_[at_] <= '9'; ++at_) {
      value = value * 10 + (format_[at_] - '0');
      GW_CHECK(value <= limit, "%: expected a width or precision of at most {}, got more", limit);
    }
    return value;
  }

  Conversion read() {
    Conversion read;
    ++at_;
    if (at_ < format_.size() && format_[at_] == '(') {
      const size_t end = format_.find(')', at_);
      GW_CHECK(end != std::string::npos, "%: expected a \")\" after the name of a value");
      read.named = true;
      read.name = format_.substr(at_ + 1, end - at_ - 1);
      at_ = end + 1;
    }
    for (; at_ < format_.size(); ++at_) {
      const char flag = format_[at_];
      bool* const known = flag == '-'   ? &read.minus
                          : flag == '+' ? &read.plus
                          : flag == ' ' ? &read.space
                          : flag == '0' ? &read.zero
                          : flag == '#' ? &read.alternate
                                        : nullptr;
      if (known == nullptr) break;
      *known = true;
    }
    read.width = number(kWidthLimit);
    if (at_ < format_.size() && format_[at_] == '.') ++at_, read.precision = number(kPrecisionLimit);
    GW_CHECK(at_ < format_.size(), "%: expected a letter after \"%\", got the end of the format");
    read.letter = format_[at_++];
    return read;
  }

  const Value& value_for(const Conversion& conversion) {
    if (!conversion.named) {
      GW_CHECK(next_ < values_.size(), "%: expected a value for every conversion, got {}", values_.size());
      return values_[next_++];
    }
    GW_CHECK(values_.size() == 1 && values_[0].is(Value::Kind::dict), "%: expected a dict for %({})",
             conversion.name);
    const Value* found = values_[0].dict().find_text(conversion.name);
    GW_CHECK(found != nullptr, "%: expected the key \"{}\", got none", shown(conversion.name, 60));
    return *found;
  }

  void convert() {
    const Conversion conversion = read();
    if (conversion.letter == '%') {
      out_ += '%';
      return;
    }
    GW_CHECK(std::string_view("srdiufFeEgGxXoc").find(conversion.letter) != std::string_view::npos,
             "%: expected %s, %d or %f, got %{}", shown(std::string(1, conversion.letter)));
    const Value& value = value_for(conversion);
    std::string sign;
    std::string body = body_of(conversion, value);
    const bool numeric = std::string_view("src").find(conversion.letter) == std::string_view::npos;
    if (numeric) {
      if (body.front() == '-')
        sign = "-", body.erase(0, 1);
      else
        sign = conversion.plus ? "+" : conversion.space ? " " : "";
    }
    const auto width = static_cast<size_t>(conversion.width);
    const size_t have = sign.size() + count_characters(body);
    const std::string padding(width > have ? width - have : 0,
                              numeric && conversion.zero && !conversion.minus ? '0' : ' ');
    if (conversion.minus)
      out_ += sign + body + padding;
    else
      out_ += padding.starts_with('0') ? sign + padding + body : padding + sign + body;
  }

  std::string body_of(const Conversion& conversion, const Value& value) {
    std::string body;
    switch (conversion.letter) {
      case 's':
      case 'r':
        conversion.letter == 's' ? print(meter_, value, body) : print_exact(meter_, value, body);
        if (conversion.precision >= 0) body.resize(byte_of(body, static_cast<size_t>(conversion.precision)));
        return body;
      case 'c':
        if (value.is_text() && count_characters(value.text()) == 1) return value.text();
        GW_CHECK(value.is_whole() && value.whole() >= 0, "%c: expected a character or its number, got {}",
                 brief(meter_, value));
        append_utf8(body, static_cast<char32_t>(std::min<int64_t>(value.whole(), 0x110000)));
        return body;
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        return whole(conversion, value);
      default:
        return real(conversion, value);
    }
  }

  std::string whole(const Conversion& conversion, const Value& value) {
    const bool decimal = std::string_view("diu").find(conversion.letter) != std::string_view::npos;
    GW_CHECK(value.is_whole() || (decimal && value.is(Value::Kind::real) && std::abs(value.real()) < 0x1p63),
             "%{}: expected a whole number, got a {}", conversion.letter, type_name(value));
    const int64_t number = value.is_whole() ? value.whole() : static_cast<int64_t>(value.real());
    const uint64_t size = number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
    std::string digits = decimal                    ? fmt::format("{}", size)
                         : conversion.letter == 'x' ? fmt::format("{:x}", size)
                         : conversion.letter == 'X' ? fmt::format("{:X}", size)
                                                    : fmt::format("{:o}", size);
    const auto least = static_cast<size_t>(std::max<int64_t>(conversion.precision, 0));
    if (digits.size() < least) digits.insert(0, least - digits.size(), '0');
    if (conversion.alternate && !decimal) digits.insert(0, std::string("0") + conversion.letter);
    return (number < 0 ? "-" : "") + digits;
  }

  std::string real(const Conversion& conversion, const Value& value) {
    GW_CHECK(value.is_number(), "%{}: expected a number, got a {}", conversion.letter, type_name(value));
    const std::string shape =
        std::string(conversion.alternate ? "{:#.{}" : "{:.{}") + conversion.letter + "}";
    return fmt::format(fmt::runtime(shape), value.real(),
                       conversion.precision < 0 ? 6 : conversion.precision);
  }

  Meter& meter_;
  const std::string& format_;
  const Values& values_;
  std::string out_;
  size_t at_ = 0, next_ = 0;
};

bool is_digits(const std::string& text) {
  return !text.empty() && text.size() < 6 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::string format_percent(Meter& meter, const std::string& format, const Values& values) {
  return PercentFormat(meter, format, values).run();
}

std::string format_braces(Meter& meter, const std::string& format, const Arguments& arguments) {
  std::string out;
  size_t automatic = 0;
  for (size_t at = 0; at < format.size(); ++at) {
    const char sign = format[at];
    const bool twice = at + 1 < format.size() && format[at + 1] == sign;
    if ((sign != '{' && sign != '}') || twice) {
      out += sign;
      at += (sign == '{' || sign == '}') ? 1 : 0;
      continue;
    }
    const size_t end = format.find('}', at);
    GW_CHECK(sign == '{' && end != std::string::npos, "format: expected braces in pairs, got a single \"{}\"",
             sign);
    const std::string field = format.substr(at + 1, end - at - 1);
    GW_CHECK(field.find_first_of(":!.[{") == std::string::npos,
             "format: expected a place or a name in braces, got \"{}\", which is not supported; use the "
             "filter format",
             shown(field, 60));
    const Value* value = arguments.find(field);
    if (field.empty() || is_digits(field)) {
      const size_t place = field.empty() ? automatic++ : static_cast<size_t>(std::stoi(field));
      value = place < arguments.positional.size() ? &arguments.positional[place] : nullptr;
    }
    GW_CHECK(value != nullptr, "format: expected a value for {{{}}}, got none", shown(field, 60));
    print(meter, *value, out);
    at = end;
  }
  meter.text(out.size());
  return out;
}

}  // namespace gw::inline text::jinja
