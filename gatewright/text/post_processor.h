#pragma once
// Tokens around a text: what a model expects at its beginning and end.
#include <cstdint>
#include <vector>

#include "gatewright/text/field.h"

namespace gw::inline text {

/// Ids in the order of a template; kText is where the text's own ids go.
class PostProcessor {
 public:
  static constexpr int32_t kText = -1;
  PostProcessor() = default;
  explicit PostProcessor(std::vector<int32_t> around) : around_(std::move(around)) {}

  /// `ids` with what belongs around them; without `special` only the template's repetitions of the text.
  std::vector<int32_t> applied(std::vector<int32_t> ids, bool special) const;
  const std::vector<int32_t>& around() const { return around_; }

 private:
  std::vector<int32_t> around_{kText};
};

/// The post-processor of a tokenizer.json for single texts: BertProcessing, ByteLevel, RobertaProcessing,
/// Sequence, TemplateProcessing. Errors: ValueError with the place.
PostProcessor make_post_processor(const Field& field);

}  // namespace gw::inline text
