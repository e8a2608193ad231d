#pragma once
// Which examples an epoch has, and in which order.
#include <map>
#include <string>
#include <vector>

#include "gatewright/data/loader.h"
#include "gatewright/models/model.h"

namespace gw::inline train {

/// Where a training stands when an epoch begins.
struct EpochStart {
  const TensorSet& set;  ///< the training examples
  Model& model;          ///< for orders that ask it
  int64_t epoch = 0;
  double epochs = 0;  ///< of the whole run, which may end within one; 0: only a clock knows
  Rng rng{0};         ///< of the run
};

/// Catalogue `gatewright/train/orders/`: order = {part = "domains", temperature = 5} in a recipe. Without one
/// an epoch has every example once, drawn anew.
class Order {
 public:
  static constexpr const char* kKind = "orders";
  struct Context {};
  virtual ~Order() = default;
  /// As many rows of the set as it has, some of them perhaps several times and others not at all.
  /// Errors: ValueError for data, models and runs that it cannot work on.
  virtual std::vector<int64_t> rows(const EpochStart& start) const = 0;
  /// True where the rows depend on more than data, epoch and stream: a run that goes on within an epoch then
  /// has them from its checkpoint.
  virtual bool asks_model() const { return false; }
};

/// Lays out the epochs of a loader. Errors: as Order.
class EpochOrder {
 public:
  EpochOrder() = default;
  explicit EpochOrder(std::shared_ptr<Order> order) : order_(std::move(order)) {}
  /// Before a batch of an epoch is read. Nothing happens within an epoch, and without a part.
  void arrange(Loader& loader, const EpochStart& start);
  /// What a checkpoint within an epoch keeps beside weights and position; empty for most.
  std::map<std::string, at::Tensor> state() const;
  /// The same from a checkpoint, for the epoch that it was written in.
  /// Errors: ValueError for a checkpoint without, and for rows that are not those of the loader.
  void load_state(Loader& loader, int64_t epoch, const std::map<std::string, at::Tensor>& state);

 private:
  std::shared_ptr<Order> order_;
  int64_t epoch_ = -1;
  std::vector<int64_t> rows_;
};

}  // namespace gw::inline train
