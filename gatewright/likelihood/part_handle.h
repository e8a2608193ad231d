#pragma once
// A part of a catalogue as a specification holds it: by name, made once and shared by all that name it.
#include <memory>
#include <string>

namespace gw::likelihood {

template <class Part>
class PartHandle {
 public:
  struct Entry {
    std::string name;
    std::shared_ptr<const Part> part;
  };
  const std::string& name() const { return entry_->name; }
  const Part& operator*() const { return *entry_->part; }
  const Part* operator->() const { return entry_->part.get(); }
  bool operator==(const PartHandle& other) const { return entry_ == other.entry_; }

 protected:
  explicit PartHandle(const Entry* entry) : entry_(entry) {}

 private:
  const Entry* entry_;  // lives as long as the program
};

}  // namespace gw::likelihood
