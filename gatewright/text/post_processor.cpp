#include "gatewright/text/post_processor.h"

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/text/vocabulary.h"

namespace gw::inline text {
namespace {

constexpr size_t kLongest = 1 << 16;  // ids around a text
constexpr int64_t kRepetitions = 4;   // of the text: a file cannot make memory out of it

int32_t read_id(const Field& field) { return static_cast<int32_t>(field.integer(0, kTokenLimit - 1)); }

/// ["[SEP]", 102]
int32_t read_named_id(const Field& field) { return read_id(field[1]); }

void append_special(const Field& piece, const Field& tokens, std::vector<int32_t>& around) {
  const Field ids = tokens.at(piece.at("id").text()).at("ids");
  for (size_t i = 0; i < ids.size(); ++i) around.push_back(read_id(ids[i]));
}

PostProcessor make_template(const Field& field) {
  const Field pieces = field.at("single");
  std::vector<int32_t> around;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Field piece = pieces[i];
    if (piece.has("SpecialToken")) {
      append_special(piece.at("SpecialToken"), field.at("special_tokens"), around);
    } else {
      const Field id = piece.at("Sequence").at("id");
      if (id.text() != "A") id.refuse("\"A\", as a single text has no other");
      around.push_back(PostProcessor::kText);
    }
    GW_CHECK(around.size() <= kLongest, "{}: expected at most {} tokens, got more", pieces.place(), kLongest);
  }
  return PostProcessor(std::move(around));
}

PostProcessor make_several(const Field& field) {
  const Field parts = field.at("processors");
  std::vector<int32_t> around{PostProcessor::kText};
  for (size_t i = 0; i < parts.size(); ++i) {
    std::vector<int32_t> outer;
    const PostProcessor part = make_post_processor(parts[i]);
    for (const int32_t id : part.around()) {
      if (id == PostProcessor::kText)
        outer.insert(outer.end(), around.begin(), around.end());
      else
        outer.push_back(id);
      GW_CHECK(outer.size() <= kLongest, "{}: expected at most {} tokens, got more", parts.place(), kLongest);
    }
    around = std::move(outer);
  }
  return PostProcessor(std::move(around));
}

PostProcessor checked(PostProcessor made, const Field& field) {
  const auto texts = std::count(made.around().begin(), made.around().end(), PostProcessor::kText);
  GW_CHECK(texts <= kRepetitions, "{}: expected the text at most {} times, got {}", field.place(),
           kRepetitions, texts);
  return made;
}

}  // namespace

std::vector<int32_t> PostProcessor::applied(std::vector<int32_t> ids, bool special) const {
  if (around_.size() == 1 && around_[0] == kText) return ids;
  std::vector<int32_t> out;
  out.reserve(ids.size() + around_.size());
  for (const int32_t id : around_) {
    if (id == kText)
      out.insert(out.end(), ids.begin(), ids.end());
    else if (special)
      out.push_back(id);
  }
  return out;
}

PostProcessor make_post_processor(const Field& field) {
  const std::string& type = field.type();
  if (type == "ByteLevel") return PostProcessor();  // changes offsets alone
  if (type == "TemplateProcessing") return checked(make_template(field), field);
  if (type == "Sequence") return checked(make_several(field), field);
  if (type == "BertProcessing" || type == "RobertaProcessing")
    return PostProcessor(
        {read_named_id(field.at("cls")), PostProcessor::kText, read_named_id(field.at("sep"))});
  fail("{}.type: expected a post-processor, got \"{}\"{}", field.place(), shown(type, 60),
       near_miss(type,
                 {"BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"}));
}

}  // namespace gw::inline text
