#include "gatewright/train/variations.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "gatewright/base/check.h"
#include "gatewright/base/crc32c.h"
#include "gatewright/base/shown.h"
#include "gatewright/train/checkpoint.h"

namespace gw::inline train {
namespace {

constexpr const char *kVariations = "gatewright-variations-1", *kMadeOf = "made_of";

std::string images_checksum(const TensorSet& train) {
  const auto bytes = train.at("image").contiguous();
  return fmt::format(
      "{:08x}", crc32c({static_cast<const char*>(bytes.data_ptr()), static_cast<size_t>(bytes.nbytes())}));
}

SafetensorsFile load_intact(const std::string& path) {
  const auto file = load_safetensors(path);
  const auto format = file.metadata.find("format");
  GW_CHECK(format != file.metadata.end() && format->second == kVariations,
           "variations {}: expected a file of image variations, got another; name an arm of kind "
           "\"image_variations\"",
           shown(path));
  auto sealed = file;
  seal_checkpoint(sealed);
  GW_CHECK(checkpoint_checksum(sealed) == checkpoint_checksum(file),
           "variations {}: expected content with the checksum {}, got {}; the file is damaged: make it again",
           shown(path), shown(checkpoint_checksum(file), 60), checkpoint_checksum(sealed));
  return file;
}

}  // namespace

void save_variations(const std::string& path, const TensorSet& train, const at::Tensor& images,
                     const at::Tensor& source) {
  SafetensorsFile file;
  file.tensors = {{"image", images}, {"source", source}};
  file.metadata = {{"format", kVariations}, {kMadeOf, images_checksum(train)}};
  seal_checkpoint(file);
  save_safetensors(path, file);
}

std::string variations_checksum(const std::string& path) { return checkpoint_checksum(load_intact(path)); }

TensorSet with_variations(const TensorSet& train, const VariationOptions& options, const at::Tensor& rows) {
  const auto file = load_intact(options.file);
  const auto sum = checkpoint_checksum(file), own = images_checksum(train);
  GW_CHECK(options.crc32c.empty() || options.crc32c == sum,
           "variations {}: expected the checksum {}, got {}; train again into another directory",
           shown(options.file), options.crc32c, sum);
  const auto made_of = file.metadata.find(kMadeOf);
  GW_CHECK(made_of != file.metadata.end() && made_of->second == own,
           "variations {}: expected variations of the training images of this run, got those of others; give "
           "both arms the same data, transforms and seed",
           shown(options.file));
  const auto &images = file.tensor("image"), &source = file.tensor("source");
  GW_CHECK(images.dim() == 4 && images.scalar_type() == at::kByte && source.dim() == 1 &&
               source.scalar_type() == at::kLong && source.size(0) == images.size(0) &&
               images.sizes().slice(1) == train.at("image").sizes().slice(1) && source.numel() > 0 &&
               source.min().item<int64_t>() >= 0 && source.max().item<int64_t>() < train.size(),
           "variations {}: expected images like those of the data and the row of each, got something else",
           shown(options.file));
  auto wanted = at::ones({train.size()}, at::kBool);
  if (rows.defined()) wanted = at::zeros_like(wanted).index_fill_(0, rows, true);
  const auto chosen = wanted.index_select(0, source).nonzero().flatten();
  auto out = train.rows(source.index_select(0, chosen));
  out.fields["image"] = images.index_select(0, chosen);
  return out;
}

}  // namespace gw::inline train
