#include "gatewright/language/model_view.h"

#include <ATen/ATen.h>

#include "gatewright/language/language_model.h"
#include "gatewright/ops/quantised.h"

namespace gw::inline language {
namespace {

/// A parameter as its tensors' headers describe it.
struct Described {
  std::string name;
  std::vector<int64_t> shape;
  at::ScalarType in_file = at::kFloat;
  const Binding* binding = nullptr;
  int64_t values() const { return c10::multiply_integers(shape); }
  bool embedding() const { return name == "embedding"; }
  bool head() const { return last() == "wq" || last() == "wo"; }  // of attention's experts
  bool routed() const { return head() || name.find(".bank.") != std::string::npos; }
  std::string last() const { return name.substr(name.rfind('.') + 1); }
  /// Of the values, those that serve a token: all, or its experts'.
  int64_t share(int64_t of, const DecoderOptions& o) const {
    return routed() ? of / shape[0] * (head() ? o.chosen_heads() : o.chosen()) : of;
  }
  /// Whether int8 and int4 mean it: matrices, but neither embeddings nor routers.
  bool coded() const { return shape.size() > 1 && last()[0] == 'w' && !binding->exact; }
};

Described described(const TensorSource& tensors, const Binding& binding,
                    std::map<std::string, int64_t>& types) {
  Described all{binding.parameter, {}, at::kFloat, &binding};
  for (const auto& piece : way_in(tensors, binding)) {
    const auto info = tensors.info(piece.tensor);
    const auto own = piece.of(at::empty(info.shape, at::TensorOptions().device(at::kMeta)));
    types[info.type] += own.numel();
    all.in_file = info.expanded;
    if (piece.expert < 0)
      all.shape = own.sizes().vec();
    else if (all.shape.empty())
      (all.shape = own.sizes().vec()).insert(all.shape.begin(), 1);
    else
      ++all.shape[0];
  }
  return all;
}

int64_t coded_bytes(const std::vector<int64_t>& shape, int64_t bits, int64_t group) {
  const size_t n = shape.size();
  return ops::quantised_bytes(n > 2 ? shape[0] : 1, shape[n - 2], shape[n - 1], bits, group);
}

class Holder {
 public:
  Holder(const DecoderOptions& options, const std::string& weights, at::ScalarType in_file)
      : options_(options), type_(in_file) {
    view_.weights = weights;
    bits_ = weights == "int8" ? 8 : weights == "int4" ? 4 : 0;
    if (weights == "bf16") type_ = at::kBFloat16;
    if (weights == "f32" || bits_ > 0) type_ = at::kFloat;
  }
  void add(const Described& p) {
    const auto type = loaded_type(*p.binding, p.in_file, type_);
    const auto each = static_cast<int64_t>(c10::elementSize(type));
    int64_t bytes = p.values() * each, read = bytes;
    if (p.embedding()) {
      read = options_.width * each;
      if (options_.tied) {
        const int64_t head = bits_ > 0 ? coded_bytes(p.shape, 8, 0) : 0;
        read = (bits_ > 0 ? read : bytes) + head, bytes += head;
      }
      view_.remembered = options_.remembered() * each;
    } else if (bits_ > 0 && p.coded()) {
      const bool head = p.name == "head.weight";
      read = bytes = coded_bytes(p.shape, head ? 8 : bits_, head ? 0 : LoadOptions().group);
    }
    view_.bytes += bytes, view_.read += p.share(read, options_);
  }
  const HeldView& view() const { return view_; }

 private:
  const DecoderOptions& options_;
  HeldView view_;
  int64_t bits_ = 0;
  at::ScalarType type_;
};

}  // namespace

ModelView view_language_model(const std::string& path) {
  const auto model = open_language_model(path);
  const auto& o = model.options;
  ModelView view;
  view.where = path, view.family = model.family, view.options = o;
  std::vector<Holder> holders;
  for (const char* weights : {"file", "f32", "bf16", "int8", "int4"})
    holders.emplace_back(o, weights, file_type(model));
  const auto add = [&](const std::vector<Binding>& bindings) {
    for (const auto& binding : bindings) {
      const auto p = described(*model.tensors, binding, view.types);
      view.parameters += p.values();
      view.active += p.share(p.values(), o);
      for (auto& holder : holders) holder.add(p);
    }
  };
  add(outer_bindings(o));
  for (int64_t i = 0; i < o.depth; ++i) {
    add(model.part->layer(o, i));
    view.routed_layers += o.routed(i) ? 1 : 0;
  }
  for (const auto& name : model.tensors->names()) view.file_bytes += model.tensors->info(name).bytes;
  for (const auto& holder : holders) view.held.push_back(holder.view());
  return view;
}

}  // namespace gw::inline language
