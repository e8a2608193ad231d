// Tensors of few bits and the scales beside them as one tensor each.
#include <ATen/ATen.h>

#include <map>

#include "gatewright/base/check.h"
#include "gatewright/base/options.h"
#include "gatewright/base/shown.h"
#include "gatewright/language/checkpoint/scaled_blocks.h"
#include "gatewright/language/checkpoint/source.h"

namespace gw::inline language {
namespace {

constexpr const char* kFp8 = "F8_E4M3";
constexpr const char* kScales = "_scale_inv";                          // beside X: fp8
constexpr const char *kBlocks = "_blocks", *kBlockScales = "_scales";  // both instead of X: mxfp4

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() > end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

class ScaledSource : public TensorSource {
 public:
  ScaledSource(std::shared_ptr<TensorSource> files, const ScaledSizes& sizes)
      : files_(std::move(files)), sizes_(sizes) {
    for (const auto& name : files_->names()) {
      if (ends_with(name, kScales) && is_fp8(stem(name, kScales))) continue;
      if (ends_with(name, kBlockScales) && is_mxfp4(stem(name, kBlockScales))) continue;
      if (ends_with(name, kBlocks) && is_mxfp4(stem(name, kBlocks)))
        kinds_[stem(name, kBlocks)] = Kind::mxfp4;
      else
        kinds_[name] = is_fp8(name) ? Kind::fp8 : Kind::plain;
    }
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& item : kinds_) all.push_back(item.first);
    return all;
  }
  bool has(const std::string& name) const override { return kinds_.count(name) > 0; }
  std::string where() const override { return files_->where(); }
  double values() const override {
    double sum = files_->values();
    for (const auto& [name, kind] : kinds_)
      if (kind == Kind::mxfp4) sum += static_cast<double>(files_->info(name + kBlocks).bytes);  // two a byte
    return sum;
  }

  TensorInfo info(const std::string& name) const override {
    switch (kind_of(name)) {
      case Kind::fp8: {
        auto all = files_->info(name);
        all.expanded = at::kFloat, all.bytes += files_->info(name + kScales).bytes;
        return all;
      }
      case Kind::mxfp4: {
        auto all = files_->info(name + kBlocks);
        GW_CHECK(all.shape.size() == 4, "{}: expected \"{}\" with four dimensions, got {}", where(),
                 shown(name + kBlocks), all.shape.size());
        all.shape = {all.shape[0], all.shape[2] * all.shape[3] * 2, all.shape[1]};
        all.type = "MXFP4", all.expanded = at::kFloat;
        all.bytes += files_->info(name + kBlockScales).bytes;
        return all;
      }
      default:
        return files_->info(name);
    }
  }

  at::Tensor tensor(const std::string& name) const override {
    if (kind_of(name) == Kind::plain) return files_->tensor(name);
    if (last_name_ == name) return last_;
    const auto few = *pair_of(name);
    last_ = few.form == ops::FewBits::fp8 ? expand_fp8(few.codes, few.scales, few.rows, few.columns)
                                          : expand_mxfp4(few.codes, few.scales).transpose(1, 2);
    last_name_ = name;
    return last_;
  }

  std::optional<CodedTensor> coded(const std::string& name) const override {
    auto few = pair_of(name);
    if (few && few->form == ops::FewBits::fp8 && few->scales.is_floating_point())
      few->scales = few->scales.to(at::kFloat).contiguous();
    return few;
  }

 private:
  enum class Kind { plain, fp8, mxfp4 };

  /// Codes and what they share, as the files have them.
  std::optional<CodedTensor> pair_of(const std::string& name) const {
    const auto kind = kind_of(name);
    if (kind == Kind::plain) return {};
    if (kind == Kind::fp8) {
      GW_CHECK(files_->has(name + kScales), "{}: expected \"{}{}\" beside codes of 8 bits, got none", where(),
               shown(name), kScales);
      return CodedTensor{ops::FewBits::fp8, files_->tensor(name), files_->tensor(name + kScales), sizes_.rows,
                         sizes_.columns};
    }
    const auto blocks = files_->tensor(name + kBlocks);
    GW_CHECK(blocks.dim() == 4, "{}: expected \"{}{}\" with four dimensions, got {}", where(), shown(name),
             kBlocks, blocks.dim());
    return CodedTensor{ops::FewBits::mxfp4, blocks, files_->tensor(name + kBlockScales)};
  }
  static std::string stem(const std::string& name, const char* end) {
    return name.substr(0, name.size() - std::string(end).size());
  }
  bool is_fp8(const std::string& name) const { return files_->has(name) && files_->info(name).type == kFp8; }
  bool is_mxfp4(const std::string& name) const {
    return files_->has(name + kBlocks) && files_->has(name + kBlockScales);
  }
  Kind kind_of(const std::string& name) const {
    const auto found = kinds_.find(name);
    if (found == kinds_.end()) fail("{}: no tensor \"{}\"{}", where(), shown(name), near_miss(name, names()));
    return found->second;
  }

  std::shared_ptr<TensorSource> files_;
  ScaledSizes sizes_;
  std::map<std::string, Kind> kinds_;
  mutable std::string last_name_;  ///< gate and up are halves of one tensor: it is expanded once
  mutable at::Tensor last_;
};

}  // namespace

std::shared_ptr<TensorSource> with_scales(std::shared_ptr<TensorSource> files, const ScaledSizes& sizes) {
  return std::make_shared<ScaledSource>(std::move(files), sizes);
}

}  // namespace gw::inline language
