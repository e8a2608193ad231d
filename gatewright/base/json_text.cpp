#include "gatewright/base/json_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/shown.h"

namespace gw::inline base {
namespace {

constexpr uint64_t kDocumentLimit_bytes = uint64_t{256} << 20;  // a page of a report, not a data set

using Library = nlohmann::json;

/// Builds the document from the parser's events, so that depth and repeated keys show while it is read.
class Builder {
 public:
  Builder(std::string_view text, const std::string& where) : text_(text), where_(where) {}
  Json root;

  bool null() { return add(Json()); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(Library::number_integer_t value) { return add(value); }
  bool number_unsigned(Library::number_unsigned_t value) { return add(value); }
  bool number_float(Library::number_float_t value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(Library::binary_t&) { return false; }  // JSON text has none
  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& key) {
    GW_CHECK(!open_.back()->contains(key),
             "{}: expected every key once, got \"{}\" twice in one object; remove one of them", where_,
             shown(key, 60));
    key_ = key;
    return true;
  }

  bool parse_error(size_t position, const std::string& /*token: from the last string on*/,
                   const nlohmann::detail::exception&) {
    const size_t at = std::min(position == 0 ? 0 : position - 1, text_.size());
    const bool blank = text_.find_first_not_of(" \t\r\n") == std::string_view::npos,
               ended = at >= text_.size();
    const auto before = text_.substr(0, at);
    const size_t start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    const std::string token(text_.substr(at, text_.find_first_of(" ,:}]\n", at) - at));
    const std::string got = blank   ? "an empty text"
                            : ended ? "its end; is it cut?"
                                    : "\"" + shown(token, 40) + "\"";
    fail("{}:{}:{}: expected JSON, got {}{}", where_, 1 + std::count(before.begin(), before.end(), '\n'),
         1 + at - start, got, is_number_word(token) ? "; JSON has no word for what is not finite" : "");
  }

 private:
  static bool is_number_word(const std::string& token) {
    const auto first = token.find_first_not_of("-+ ");
    return first != std::string::npos &&
           (token[first] == 'N' || token[first] == 'I' || token.substr(first, 3) == "nan");
  }

  Json* place(Json&& value) {
    if (open_.empty()) return &(root = std::move(value));
    if (open_.back()->is_object()) return &((*open_.back())[key_] = std::move(value));
    open_.back()->push_back(std::move(value));
    return &open_.back()->back();
  }
  bool add(Json value) { return place(std::move(value)), true; }
  bool open(Json value) {
    GW_CHECK(static_cast<int>(open_.size()) < kJsonLevels,
             "{}: expected JSON nested at most {} deep, got more", where_, kJsonLevels);
    open_.push_back(place(std::move(value)));
    return true;
  }
  bool close() { return open_.pop_back(), true; }

  std::string_view text_;
  const std::string& where_;
  std::vector<Json*> open_;  ///< stay where they are: only the last one grows
  std::string key_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  Builder builder(text, where);
  Library::sax_parse(text.begin(), text.end(), &builder);
  return std::move(builder.root);
}

Json read_json(const std::string& path) {
  return parse_json(read_file(path, kDocumentLimit_bytes), shown(path));
}

}  // namespace gw::inline base
