#include "gatewright/text/replace.h"

#include "gatewright/base/check.h"

namespace gw::inline text {

Pattern::Pattern(const Field& field) {
  if (field.has("Regex"))
    regex = std::make_unique<const Regex>(field.at("Regex").text(), field.place());
  else if (field.has("String"))
    word = field.at("String").text();
  else
    field.refuse("an object with the key String or Regex");
}

Replace::Replace(const Field& field) : content_(field.at("content").text()), place_(field.place()) {
  Pattern pattern(field.at("pattern"));
  word_ = std::move(pattern.word);
  regex_ = std::move(pattern.regex);
}

std::string Replace::applied(std::string_view text, size_t limit) const {
  std::string out;
  out.reserve(text.size());
  size_t done = 0;
  const auto found = [&](size_t begin, size_t end) {
    out.append(text, done, begin - done).append(content_);
    GW_CHECK(out.size() <= limit, "{}: expected at most {} bytes after replacing, got more", place_, limit);
    done = end;
  };
  if (regex_ != nullptr) {
    if (!text.empty()) regex_->each_match(text, found);
  } else if (!word_.empty()) {
    for (size_t at = text.find(word_); at != std::string_view::npos; at = text.find(word_, at + word_.size()))
      found(at, at + word_.size());
  }
  out.append(text, done);
  return out;
}

}  // namespace gw::inline text
