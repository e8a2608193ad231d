#pragma once
// Catalogues: a part is one file whose last line registers it under its file's stem.
#include <any>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gatewright/base/error.h"
#include "gatewright/base/json.h"
#include "gatewright/base/options.h"

namespace gw::inline base {

/// What `gatewright list` shows of a part.
struct PartInfo {
  std::string kind;     ///< catalogue: "gates", "policies", …
  std::string name;     ///< the file's stem
  std::string summary;  ///< one sentence
  std::string source;   ///< paper, or "" for common knowledge
  std::string file;     ///< path in the repository
  std::vector<OptionInfo> options;
  std::vector<std::string> traits =
      {};  ///< what its catalogue's interface lets a part promise or need, in words
};

/// The one list of all parts. A real function in registry.cpp: linkers drop registrars that nothing refers
/// to.
class Registry {
 public:
  static Registry& instance();
  void add(PartInfo info, std::any factory);
  /// Errors: ValueError with the near miss if the catalogue has no such part.
  const std::any& factory(const std::string& kind, const std::string& name) const;
  const PartInfo& info(const std::string& kind, const std::string& name) const;
  /// Parts of one catalogue, or of all when `kind` is empty, sorted by kind and name.
  std::vector<PartInfo> list(const std::string& kind = "") const;
  std::vector<std::string> kinds() const;

 private:
  struct Entry {
    PartInfo info;
    std::any factory;
  };
  const Entry& find(const std::string& kind, const std::string& name) const;
  std::vector<Entry> entries_;
};

/// "gatewright/routing/gates/linear.cpp" → "linear".
std::string file_stem(const std::string& path);
/// Cuts the build machine's path off: keeps what follows the source root.
std::string repository_path(const std::string& path);

/// A catalogue's interface declares `static constexpr const char* kKind` and `using Context = …` (what the
/// constructor of every part receives beside its options). Parts declare `struct Options`, `kSummary`,
/// `kSource` and a constructor `Part(Options, const Context&)`; where the interface has traits, `kTraits`
/// too.
template <class Interface>
using Factory = std::function<std::shared_ptr<Interface>(const std::string& part, const Json& options,
                                                         const typename Interface::Context&)>;

template <class Interface, class Part>
bool register_part(const char* file) {
  typename Part::Options defaults;
  PartInfo info{Interface::kKind, file_stem(file),       Part::kSummary,
                Part::kSource,    repository_path(file), describe_options(defaults)};
  if constexpr (requires { Part::kTraits.words(); }) info.traits = Part::kTraits.words();
  Factory<Interface> make = [](const std::string& part, const Json& values,
                               const typename Interface::Context& context) {
    typename Part::Options options;
    parse_options(part, values, options);
    return std::static_pointer_cast<Interface>(std::make_shared<Part>(options, context));
  };
  Registry::instance().add(std::move(info), std::any(std::move(make)));
  return true;
}

/// Makes the part `name` of Interface's catalogue. Errors: ValueError for an unknown name or option.
template <class Interface>
std::shared_ptr<Interface> make_part(const std::string& name, const Json& options,
                                     const typename Interface::Context& context) {
  const auto& factory =
      std::any_cast<const Factory<Interface>&>(Registry::instance().factory(Interface::kKind, name));
  return factory(std::string(Interface::kKind) + "/" + name, options, context);
}

/// Makes the part that an option, a recipe or a table chose. Errors: as make_part.
template <class Interface>
std::shared_ptr<Interface> make_chosen(const PartChoice& choice, const typename Interface::Context& context) {
  return make_part<Interface>(choice.name, choice.options, context);
}

}  // namespace gw::inline base

/// The last line of every catalogue file, outside any namespace: GW_REGISTER(gw::Gate, LinearGate);
/// The part is looked up in gw's anonymous namespace, hence the lambda.
#define GW_REGISTER(Interface, Part)                                                       \
  [[maybe_unused]] static const bool GW_NAMED_BY_COUNT(gw_registered_, __COUNTER__) = [] { \
    using namespace ::gw;                                                                  \
    return ::gw::register_part<Interface, Part>(__FILE__);                                 \
  }()
/// A name of its own for each, as several files may be compiled as one.
#define GW_NAMED_BY_COUNT(name, count) GW_JOINED(name, count)
#define GW_JOINED(a, b) a##b
