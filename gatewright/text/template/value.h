#pragma once
// The values of a template: Python's, as far as templates see them. All but namespaces never change.
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "gatewright/text/template/meter.h"

namespace gw::inline text::jinja {

struct Sequence;
struct Dict;
struct Names;
struct Callable;
struct Loop;

class Value {
 public:
  /// In the order of the variant.
  enum class Kind : uint8_t {
    undefined,
    none,
    boolean,
    integer,
    real,
    text,
    sequence,
    dict,
    names,
    callable,
    loop
  };
  using Text = std::shared_ptr<const std::string>;
  struct None {};

  Value() = default;  ///< undefined
  Value(None) : held_(None()) {}
  explicit Value(bool value) : held_(value) {}
  explicit Value(int64_t value) : held_(value) {}
  explicit Value(double value) : held_(value) {}
  explicit Value(std::string value) : held_(std::make_shared<const std::string>(std::move(value))) {}
  explicit Value(const char* value) : Value(std::string(value)) {}
  explicit Value(std::shared_ptr<const Sequence> value) : held_(std::move(value)) {}
  explicit Value(std::shared_ptr<const Dict> value) : held_(std::move(value)) {}
  explicit Value(std::shared_ptr<Names> value) : held_(std::move(value)) {}
  explicit Value(std::shared_ptr<const Callable> value) : held_(std::move(value)) {}
  explicit Value(std::shared_ptr<Loop> value) : held_(std::move(value)) {}
  /// What a name or attribute without a value gives: prints nothing, and most uses of it are errors that say
  /// `reason` ("\"x\" is undefined; …").
  static Value undefined(std::string reason);

  Kind kind() const { return static_cast<Kind>(held_.index()); }
  bool is(Kind kind) const { return this->kind() == kind; }
  bool is_undefined() const { return is(Kind::undefined); }
  bool is_none() const { return is(Kind::none); }
  bool is_text() const { return is(Kind::text); }
  /// A whole number, or a truth value, which counts as 0 or 1.
  bool is_whole() const { return is(Kind::boolean) || is(Kind::integer); }
  bool is_number() const { return is_whole() || is(Kind::real); }

  bool boolean() const { return std::get<bool>(held_); }
  int64_t whole() const { return is(Kind::boolean) ? int64_t{boolean()} : std::get<int64_t>(held_); }
  double real() const { return is(Kind::real) ? std::get<double>(held_) : static_cast<double>(whole()); }
  const std::string& text() const { return *std::get<Text>(held_); }
  const Sequence& sequence() const { return *std::get<std::shared_ptr<const Sequence>>(held_); }
  const std::shared_ptr<const Sequence>& shared_sequence() const {
    return std::get<std::shared_ptr<const Sequence>>(held_);
  }
  const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(held_); }
  Names& names() const { return *std::get<std::shared_ptr<Names>>(held_); }
  const Callable& callable() const { return *std::get<std::shared_ptr<const Callable>>(held_); }
  Loop& loop() const { return *std::get<std::shared_ptr<Loop>>(held_); }
  /// Why it is undefined.
  std::string reason() const;
  /// The very same object, as Python's `is`.
  bool same(const Value& other) const;

 private:
  struct Undefined {
    std::shared_ptr<const std::string> reason;
  };
  std::variant<Undefined, None, bool, int64_t, double, Text, std::shared_ptr<const Sequence>,
               std::shared_ptr<const Dict>, std::shared_ptr<Names>, std::shared_ptr<const Callable>,
               std::shared_ptr<Loop>>
      held_;
};

using Values = std::vector<Value>;

/// Lists and what is walked through like one.
struct Sequence {
  enum class Form : uint8_t { list, tuple, range, keys, values, items, generator };
  Values elements;
  Form form = Form::list;
  int depth = 1;
  std::string shown;          ///< of a range: how Python prints it
  mutable bool used = false;  ///< a generator gives its elements once
};

/// Keeps the order in which keys came.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  int depth = 1;
  std::unordered_map<std::string, size_t> places;  ///< by key_of

  const Value* find(const std::string& key) const;  ///< `key`: of key_of; nullptr if there is none
  const Value* find_text(std::string_view name) const;
};

/// namespace(…): the one thing that a template can change, and so hold on to itself with. It takes plain
/// values only, so that it cannot.
struct Names {
  std::map<std::string, Value> values;
};

/// `loop`, in a for.
struct Loop {
  std::shared_ptr<const Sequence> elements;
  size_t index = 0;
  Value changed;  ///< what loop.changed was last asked about
  bool asked = false;
};

struct Arguments;
struct Macro;  // gatewright/text/template/evaluator.h
using Function = Value (*)(Meter&, const Value& self, const Arguments&);

/// A function, a method bound to its value, or a macro.
struct Callable {
  std::string name;
  Function function = nullptr;
  Value self;
  std::shared_ptr<const Macro> macro;
};

/// Lists and tuples of values. Errors: ValueError for more than kValueLimit levels, and for namespaces,
/// functions and loops in them (which could then hold themselves).
Value make_sequence(Meter& meter, Values elements, Sequence::Form form = Sequence::Form::list);
/// Fills a dict; a key that comes again replaces the value and keeps its place.
void put(Meter& meter, Dict& dict, const Value& key, Value value);
inline Value finished(Dict dict) { return Value(std::make_shared<const Dict>(std::move(dict))); }
/// What equal keys have in common: 1, 1.0 and true are one. Errors: ValueError for lists and dicts.
std::string key_of(Meter& meter, const Value& key);

/// "str", "int", "list" …: Python's names, as messages use them.
const char* type_name(const Value& value);
/// The elements that a for walks through: of a sequence, the keys of a dict, the characters of a text,
/// nothing of what is undefined. Errors: ValueError for the rest, naming `what`.
std::shared_ptr<const Sequence> elements_of(Meter& meter, const Value& value, const char* what);
bool is_iterable(const Value& value);

}  // namespace gw::inline text::jinja
