#pragma once
// Replacing, in normalisers and decoders.
#include <optional>
#include <string>
#include <string_view>

#include "gatewright/text/field.h"
#include "gatewright/text/regex.h"

namespace gw::inline text {

/// The keys "pattern" and "content" of a part. Content is taken as it is.
class Replace {
 public:
  explicit Replace(const Field& field);
  /// Errors: ValueError beyond `limit` bytes.
  std::string applied(std::string_view text, size_t limit) const;

 private:
  std::string word_, content_, place_;
  std::unique_ptr<const Regex> regex_;
};

/// A pattern as text or as a regular expression: {"String": …} or {"Regex": …}. Of the two results one is
/// there; an empty text is one that matches nothing.
struct Pattern {
  explicit Pattern(const Field& field);
  std::string word;
  std::unique_ptr<const Regex> regex;
};

}  // namespace gw::inline text
