#pragma once
// Which level of a kernel family runs. Levels are ordered worst to best; the best that the CPU has is the
// default;
// GATEWRIGHT_KERNELS="ref" or "bucket_norm=ref,top_k=avx512" forces.
#include <atomic>
#include <string>
#include <vector>

namespace gw::inline base {

/// One level of a family as `gatewright doctor` shows it.
struct KernelLevel {
  std::string name;
  bool available = true;
  std::string reason;  ///< why not, or what it needs
};

/// Base of all families: knows names and the choice, not the function type.
class KernelFamilyBase {
 public:
  KernelFamilyBase(std::string name, std::vector<KernelLevel> levels);
  const std::string& name() const { return name_; }
  const std::vector<KernelLevel>& levels() const { return levels_; }
  int chosen() const { return chosen_.load(std::memory_order_relaxed); }
  std::string why() const { return why_; }
  /// Forces a level by name ("" = best). Errors: ValueError listing the valid ones, or saying why it cannot
  /// run here.
  void force(const std::string& level);

 private:
  std::string name_;
  std::vector<KernelLevel> levels_;
  std::atomic<int> chosen_{0};
  std::string why_;
};

/// All families of the process.
std::vector<KernelFamilyBase*> kernel_families();
/// Applies a GATEWRIGHT_KERNELS text. Errors: ValueError for an unknown family or level. Called by programs
/// at start.
void force_kernels(const std::string& text);

/// A family with functions: `Table` is a struct of function pointers, one table per level.
template <class Table>
class KernelFamily : public KernelFamilyBase {
 public:
  struct Level {
    KernelLevel level;
    const Table* table;
  };
  KernelFamily(std::string name, std::vector<Level> levels)
      : KernelFamilyBase(std::move(name), infos(levels)) {
    for (const auto& level : levels) tables_.push_back(level.table);
  }
  const Table& operator()() const { return *tables_[static_cast<size_t>(chosen())]; }

 private:
  static std::vector<KernelLevel> infos(const std::vector<Level>& levels) {
    std::vector<KernelLevel> result;
    for (const auto& level : levels) result.push_back(level.level);
    return result;
  }
  std::vector<const Table*> tables_;
};

}  // namespace gw::inline base
