#pragma once
// A template, read: expressions and statements.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gatewright/text/template/operators.h"

namespace gw::inline text::jinja {

struct Expression;
using Part = std::unique_ptr<const Expression>;

struct Expression {
  enum class Kind : uint8_t {
    literal,      ///< value
    name,         ///< name
    list,         ///< parts
    tuple,        ///< parts
    dict,         ///< parts: key, value, key, value …
    attribute,    ///< parts[0] . name
    item,         ///< parts[0] [ parts[1] ]
    slice,        ///< parts[0] [ parts[1] : parts[2] : parts[3] ], null where left out
    call,         ///< parts[0] ( the other parts, named )
    filter,       ///< parts[0] | name ( the other parts, named )
    test,         ///< parts[0] is name ( the other parts, named )
    body,         ///< the text of the block that a filter is put behind
    minus,        ///< - parts[0]
    plus,         ///< + parts[0]
    negation,     ///< not parts[0]
    conjunction,  ///< parts[0] and parts[1]
    disjunction,  ///< parts[0] or parts[1]
    arithmetic,   ///< parts[0] op parts[1]
    concat,       ///< parts[0] ~ parts[1] ~ …
    comparison,   ///< parts[0] < parts[1] < …, by comparisons
    condition,    ///< parts[1] if parts[0] else parts[2], which is null where left out
  };
  Kind kind = Kind::literal;
  int line = 1;
  int depth = 1;  ///< levels of this tree
  Operator op = Operator::add;
  std::string name;
  Value value;
  std::vector<Part> parts;
  std::vector<std::pair<std::string, Part>> named;
  std::vector<Comparison> comparisons;
};

/// What a set or for assigns to: a name, an attribute of a namespace, or several of these.
struct Target {
  std::string name;
  std::string attribute;  ///< of the namespace `name`
  std::vector<Target> parts;
  bool several = false;
};

struct Statement;
using Body = std::vector<std::unique_ptr<const Statement>>;

struct Statement {
  enum class Kind : uint8_t {
    text,          ///< text
    output,        ///< {{ expressions[0] }}
    choice,        ///< if: a body per expression, and one more for else
    loop,          ///< for targets[0] in expressions[0] if expressions[1]: bodies[0], else bodies[1]
    assign,        ///< set targets[0] = expressions[0]
    assign_block,  ///< set targets[0], through the filters of expressions[0] unless null: bodies[0]
    macro,         ///< macro text(targets), expressions: defaults of the last of them
    call,          ///< call(targets) expressions.back()(…): the others as for a macro
    filter,        ///< filter expressions[0]: bodies[0]
    with,          ///< with targets = expressions: bodies[0]
    scope,         ///< generation: bodies[0]
    leave,         ///< break
    next,          ///< continue
  };
  Kind kind = Kind::text;
  int line = 1;
  std::string text;
  std::vector<Target> targets;
  std::vector<Part> expressions;
  std::vector<Body> bodies;
};

/// Reads a template. Errors: ValueError with the line, naming what was expected and what stands there.
Body parse_template(const std::string& source);

}  // namespace gw::inline text::jinja
