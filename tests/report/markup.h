#pragma once
// A strict reader of HTML with inline SVG: every tag closed in order, every attribute quoted and given once,
// every "&" an entity, every id unique, only known elements. Throws on the first fault.
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace gw::test {

struct Markup {
  std::map<std::string, int> elements;  ///< how often each was opened
  std::set<std::string> ids;
  std::vector<std::string> references;  ///< values of src and href
  std::string text;  ///< outside of tags, with the entities decoded, script and style left out
};

class MarkupReader {
 public:
  explicit MarkupReader(const std::string& html) : html_(html) {}

  Markup read() {
    expect("<!DOCTYPE html>");
    while (at_ < html_.size()) html_[at_] == '<' ? tag() : content();
    if (!open_.empty()) fault("<" + open_.back() + "> is never closed");
    return found_;
  }

 private:
  [[noreturn]] void fault(const std::string& what) const {
    throw std::runtime_error(what + " before: " + html_.substr(at_, 60));
  }
  void expect(const std::string& token) {
    if (html_.compare(at_, token.size(), token) != 0) fault("expected " + token);
    at_ += token.size();
  }
  std::string take(const std::string& letters) {
    const size_t end = std::min(html_.find_first_not_of(letters, at_), html_.size());
    const std::string token = html_.substr(at_, end - at_);
    at_ = end;
    return token;
  }
  std::string name() {
    const std::string token = take("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");
    if (token.empty()) fault("expected a name");
    return token;
  }
  char decoded() {
    static const std::map<std::string, char> kEntities = {
        {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#39;", '\''}};
    if (html_[at_] != '&') return html_[at_++];
    for (const auto& [entity, letter] : kEntities) {
      if (html_.compare(at_, entity.size(), entity) != 0) continue;
      at_ += entity.size();
      return letter;
    }
    fault("bare &");
  }
  void content() {
    while (at_ < html_.size() && html_[at_] != '<') {
      if (html_[at_] == '>') fault("bare >");
      found_.text += decoded();
    }
  }
  void attribute(std::set<std::string>& seen) {
    const std::string key = name();
    if (!seen.insert(key).second) fault("second " + key);
    if (html_.compare(at_, 1, "=") != 0) return;
    expect("=\"");
    std::string value;
    while (at_ < html_.size() && html_[at_] != '"') {
      if (html_[at_] == '<') fault("< in an attribute");
      value += decoded();
    }
    expect("\"");
    if (key == "id" && !found_.ids.insert(value).second) fault("second id " + value);
    if (key == "src" || key == "href") found_.references.push_back(value);
    if (key.rfind("on", 0) == 0) fault("event handler " + key);
  }
  void tag() {
    static const std::set<std::string> kVoid = {"meta", "img", "input"};
    expect("<");
    if (html_[at_] == '/') {
      expect("/");
      const std::string closed = name();
      if (open_.empty() || open_.back() != closed)
        fault("</" + closed + "> closes " + (open_.empty() ? "nothing" : open_.back()));
      open_.pop_back();
      return expect(">");
    }
    const std::string element = name();
    ++found_.elements[element];
    std::set<std::string> seen;
    while (!take(" ").empty() && html_[at_] != '>' && html_[at_] != '/') attribute(seen);
    const bool closed = html_[at_] == '/';
    if (closed) expect("/");
    expect(">");
    if (!closed && !kVoid.count(element)) open_.push_back(element);
    if (element == "script" || element == "style") raw(element);
  }
  void raw(const std::string& element) { at_ = std::min(html_.find("</" + element, at_), html_.size()); }

  const std::string& html_;
  size_t at_ = 0;
  std::vector<std::string> open_;
  Markup found_;
};

inline Markup read_markup(const std::string& html) { return MarkupReader(html).read(); }

inline size_t occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

}  // namespace gw::test
