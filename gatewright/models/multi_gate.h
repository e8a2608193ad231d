#pragma once
// Models of several answers: levels of sets of experts, and gates of which each sees some of the sets.
#include "gatewright/models/expert_set.h"
#include "gatewright/models/mixture_blocks.h"
#include "gatewright/models/model.h"

namespace gw::inline models {

/// Who reads what. `from`: outputs of the level before, side by side, by the places of its gates; empty: the
/// row itself. What a gate does not list it never sees, forward or backward.
struct Wiring {
  struct Set {
    std::string name;
    int64_t count = 1;
    std::vector<int64_t> from = {};
  };
  struct Gate {
    std::string name;
    std::vector<int64_t> sets;
    std::vector<int64_t> from = {};
    int64_t self = -1;  ///< the set that a self gate adds once more; −1: no self gate
  };
  struct Level {
    std::vector<Set> sets;
    std::vector<Gate> gates;
  };
  std::vector<Level> levels;  ///< the gates of the last one: one for each part of the answer
};

/// Options that all of these models have.
struct MultiGateOptions : OptionSet {
  int64_t hidden = 0, width = 32, tower = 16;
  std::string activation = "relu";
  void fields(OptionVisitor& v) override;
};

/// Math:   z_g = Σ_e softmax(q_g G_g)_e E_e over the experts of the sets that gate g sees, q_g what it reads;
/// a
///         self gate adds Σ_e s_e E_e over its own set, s = softmax(q_g S_g), sigmoid of a single expert.
///         Answer t = tower_t(z_t), a layer of `tower` values and the activation, then a linear one.
/// Shapes: "x" [B, D] → [B, Σ widths of the parts].
/// Errors: ValueError for data without the field "x" and for a task of one answer for each token.
class MultiGateModel : public Model {
 public:
  MultiGateModel(const char* name, const Context& context, const MultiGateOptions& options, ExpertForm form,
                 const Wiring& wiring);
  Output answer(const Batch& batch, const Pass& pass) override;
  Batch example(int64_t count, const Rng& rng) const override;
  bool routed() const override { return false; }  // nobody is left out

  /// Names of the answer's parts; one, "answer", where the task has a single one. Errors: as above.
  static std::vector<std::string> parts_of(const char* name, const Context& context);

 private:
  struct Gate {
    Wiring::Gate wiring;
    at::Tensor weight, self;
    std::vector<int64_t> experts, own, of_self;  // places among the level's experts
  };
  struct Level {
    std::vector<Wiring::Set> sets;
    std::vector<std::shared_ptr<ExpertSet>> experts;
    std::vector<std::string> names;
    std::vector<Gate> gates;
  };
  void add_level(const Wiring::Level& wiring, const std::vector<int64_t>& widths, int64_t index,
                 const Rng& rng);
  Gate make_gate(const Wiring::Level& wiring, size_t index, const std::vector<std::vector<int64_t>>& places,
                 int64_t in, const std::string& label, const Rng& rng);
  at::Tensor mixed(const Gate& gate, const at::Tensor& read, const std::vector<at::Tensor>& answers,
                   int64_t first, ExpertUse& use) const;

  std::string part_;
  int64_t inputs_;
  ExpertForm form_;
  std::vector<Level> levels_;
  struct Tower {
    std::shared_ptr<Linear> hidden, out;
  };
  std::vector<Tower> towers_;
};

}  // namespace gw::inline models
