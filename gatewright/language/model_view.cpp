#include "gatewright/language/model_view.h"

#include <ATen/ATen.h>

#include "gatewright/language/checkpoint/kept_codes.h"
#include "gatewright/language/encoder_decoder_family.h"
#include "gatewright/language/encoder_decoder_model.h"
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
  bool embedding() const { return last() == "embedding"; }
  /// Whether the decoder beside an encoder reads it for every token that it writes.
  bool read_again() const {
    const bool of_source =
        name.find(".cross.key.") != std::string::npos || name.find(".cross.value.") != std::string::npos;
    return name.rfind("encoder", 0) != 0 && !of_source;
  }
  bool head() const { return last() == "wq" || last() == "wo"; }  // of attention's experts
  bool routed() const { return head() || name.find(".bank.") != std::string::npos; }
  std::string last() const { return name.substr(name.rfind('.') + 1); }
  std::string beside(const char* other) const { return name.substr(0, name.rfind('.') + 1) + other; }
  /// Of the values, those that serve a token: all, or its experts'.
  int64_t share(int64_t of, const DecoderOptions& o) const {
    return routed() ? of / shape[0] * (head() ? o.chosen_heads() : o.chosen()) : of;
  }
  /// Whether int8 and int4 mean it: matrices, but neither embeddings nor routers.
  bool coded() const {
    const bool table = name.find("relative.") != std::string::npos;
    return shape.size() > 1 && last()[0] == 'w' && !binding->exact && !table;
  }
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
  void add(const Described& p, const KeptCodes& kept) {
    const bool keeps = view_.weights == "keep";
    const bool bias = keeps && p.last()[0] == 'b' && kept.count(p.beside("w1")) > 0;  // beside codes: f32
    const auto type = bias ? at::kFloat : loaded_type(*p.binding, p.in_file, type_);
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
      const bool head = p.name == "head.weight" || p.name == "decoder.head.weight";
      read = bytes = coded_bytes(p.shape, head ? 8 : bits_, head ? 0 : LoadOptions().group);
    }
    if (const auto codes = kept.find(p.name); keeps && codes != kept.end()) {
      const int64_t own = kept_bytes(codes->second);
      read = bytes = own;
      if (p.embedding()) {  // rows are read from the file's blocks; a head that shares them has its own
        const auto rows = static_cast<int64_t>(codes->second.front().codes.nbytes());
        read = rows / p.shape[0] + (options_.tied ? own : 0), bytes = rows + (options_.tied ? own : 0);
      }
    }
    view_.bytes += bytes;
    if (p.read_again()) view_.read += p.share(read, options_);
  }
  const HeldView& view() const { return view_; }

 private:
  const DecoderOptions& options_;
  HeldView view_;
  int64_t bits_ = 0;
  at::ScalarType type_;
};

/// What all ways to hold a model take, parameter by parameter.
class Viewer {
 public:
  Viewer(const std::string& path, const std::string& family, const DecoderOptions& options,
         const TensorSource& tensors, at::ScalarType in_file)
      : tensors_(tensors) {
    view_.where = path, view_.family = family, view_.options = options;
    for (const char* weights : {"file", "keep", "f32", "bf16", "int8", "int4"})
      holders_.emplace_back(view_.options, weights, in_file);
  }
  Viewer(const Viewer&) = delete;
  Viewer& operator=(const Viewer&) = delete;
  void add(const std::vector<Binding>& bindings) {
    const auto kept = kept_codes(tensors_, bindings);
    keeps_ = keeps_ || !kept.empty();
    for (const auto& binding : bindings) {
      const auto p = described(tensors_, binding, view_.types);
      view_.parameters += p.values();
      view_.active += p.share(p.values(), view_.options);
      for (auto& holder : holders_) holder.add(p, kept);
    }
  }
  ModelView finish() {
    for (const auto& name : tensors_.names()) view_.file_bytes += tensors_.info(name).bytes;
    for (const auto& holder : holders_)
      if (keeps_ || holder.view().weights != "keep") view_.held.push_back(holder.view());
    for (const auto* side : {&view_.options, view_.encoder ? &*view_.encoder : nullptr})
      for (int64_t i = 0; side != nullptr && i < side->depth; ++i)
        view_.routed_layers += side->routed(i) ? 1 : 0;
    return view_;
  }
  void beside(const DecoderOptions& encoder) { view_.encoder = encoder; }

 private:
  const TensorSource& tensors_;
  ModelView view_;
  std::vector<Holder> holders_;  // of the options in view_
  bool keeps_ = false;           // whether files hold codes that can stay as they are
};

}  // namespace

ModelView view_language_model(const std::string& path) {
  const auto model = open_language_model(path);
  Viewer viewer(path, model.family, model.options, *model.tensors, file_type(model));
  viewer.add(outer_bindings(model.options));
  for (int64_t i = 0; i < model.options.depth; ++i) viewer.add(model.part->layer(model.options, i));
  return viewer.finish();
}

ModelView view_encoder_decoder(const std::string& path) {
  const auto model = open_encoder_decoder(path);
  const auto bindings = model.part->bindings(model.options);
  Viewer viewer(path, model.family, model.options.decoder, *model.tensors,
                file_type(bindings, *model.tensors));
  viewer.beside(model.options.encoder);
  viewer.add(bindings);
  return viewer.finish();
}

}  // namespace gw::inline language
