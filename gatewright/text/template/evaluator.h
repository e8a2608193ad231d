#pragma once
// What renders a template that has been read.
#include <string>
#include <unordered_map>
#include <utility>

#include "gatewright/text/template/arguments.h"
#include "gatewright/text/template/nodes.h"

namespace gw::inline text::jinja {

/// Names and their values; what is not here may be further out.
struct Scope {
  const Scope* outer = nullptr;
  std::unordered_map<std::string, Value> values;

  const Value* find(const std::string& name) const;
};

/// A macro where it was defined. It cannot outlive `scope`: values that a template keeps (lists, namespaces)
/// hold no functions.
struct Macro {
  const Statement* statement = nullptr;
  const Scope* scope = nullptr;
};

class Evaluator {
 public:
  Evaluator(Meter& meter, Scope& scope) : meter_(meter), scope_(&scope) {}

  void render(const Body& body, std::string& out);
  int line() const { return line_; }  ///< of what was evaluated last

 private:
  enum class Flow : uint8_t { on, leave, next };
  class InScope;

  Value evaluate(const Expression& node);
  Value value_of(const Expression& node);
  Value name(const Expression& node) const;
  Value dict(const Expression& node);
  Value concat(const Expression& node);
  Value comparison(const Expression& node);
  Value slice(const Expression& node);
  Value call(const Expression& node, const Value* caller = nullptr);
  Value called_macro(const Callable& function, const Arguments& given);
  Value evaluated_condition(const Expression& node);
  Values parts(const Expression& node, size_t first);
  Arguments arguments(const Expression& node);
  Value callee(const Expression& node);
  std::string near_function(const std::string& name) const;

  Flow run(const Body& body, std::string& out);
  Flow run(const Statement& statement, std::string& out);
  Flow choice(const Statement& statement, std::string& out);
  Flow loop(const Statement& statement, std::string& out);
  Flow in_scope(const Statement& statement, std::string& out);
  Values loop_elements(const Statement& statement);
  Value body_text(const Statement& statement, const Part& filters);
  Value macro(const Statement& statement) const;
  void call_block(const Statement& statement, std::string& out);
  void assign(const Target& target, const Value& value);

  Meter& meter_;
  Scope* scope_;
  Value body_;  ///< what the filters of a block are put behind
  int line_ = 1;
};

}  // namespace gw::inline text::jinja
