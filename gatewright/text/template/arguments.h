#pragma once
// What a call hands to a function, filter, test or method, and how these read it.
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "gatewright/text/template/value.h"

namespace gw::inline text::jinja {

struct Arguments {
  Values positional;
  std::vector<std::pair<std::string, Value>> named;

  const Value* find(const std::string& name) const;
};

/// The arguments of a call by the names of the parameters.
class Parameters {
 public:
  /// The first `required` of `names` must be there. Errors: ValueError naming `function` for arguments that
  /// are missing, too many, given twice, or of an unknown name.
  Parameters(const Arguments& arguments, const char* function, std::initializer_list<const char*> names,
             size_t required = 0);

  bool has(size_t i) const { return values_[i] != nullptr; }
  const Value& operator[](size_t i) const;  ///< undefined where it was left out
  const std::string& text(size_t i) const;  ///< Errors: ValueError unless it is a text
  int64_t whole(size_t i, int64_t otherwise) const;
  bool truth(size_t i, bool otherwise) const;

 private:
  const char* function_;
  std::vector<const char*> names_;
  std::vector<const Value*> values_;
};

}  // namespace gw::inline text::jinja
