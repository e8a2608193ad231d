#pragma once
// Where a model's tensors come from.
#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gatewright/ops/coded.h"

namespace gw::inline language {

/// What a file says about a tensor.
struct TensorInfo {
  std::vector<int64_t> shape;
  std::string type;         ///< as the file calls it: BF16, Q4_1
  at::ScalarType expanded;  ///< of what tensor() gives
  int64_t bytes;            ///< in the file
};

/// A tensor as the codes that a file holds it in: [.., R, C] bytes and f32 scales; MXFP4's blocks
/// [E, R, G, 16] and exponents [E, R, G], which tensor() gives as [E, 32·G, R]; or GGUF's blocks
/// [.., R, B, bytes].
struct CodedTensor {
  ops::FewBits form = ops::FewBits::fp8;
  at::Tensor codes, scales;
  int64_t rows = 1, columns = 1;         ///< fp8: of the blocks that share a scale
  const ops::BlockType* type = nullptr;  ///< of blocks
};

/// Named tensors of a checkpoint, under the names that Hugging Face gives them.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  virtual std::vector<std::string> names() const = 0;
  virtual bool has(const std::string& name) const = 0;
  /// A view of the file where its type is one of libtorch's, else expanded to f32. Views stay valid when the
  /// source is gone; nobody may write to them. Errors: ValueError with the near miss.
  virtual at::Tensor tensor(const std::string& name) const = 0;
  /// Its codes, as views of the file, where it has few bits; else nothing. Errors: as tensor().
  virtual std::optional<CodedTensor> coded(const std::string&) const { return {}; }
  /// Without its values. Errors: as tensor().
  virtual TensorInfo info(const std::string& name) const = 0;
  /// Of all tensors together.
  virtual double values() const = 0;
  /// For messages: the folder or the file.
  virtual std::string where() const = 0;
};

/// `path`: a folder with model.safetensors or model.safetensors.index.json, or one such file.
/// Errors: IoError; ValueError for shards that lie outside the folder, tensors in two shards, tensors that an
///         index names and its shard has not, and all of parse_safetensors_header's.
/// Cost:   the headers; tensors are mapped. Tensors of the type F8_E4M3 come as their bytes.
std::shared_ptr<TensorSource> open_safetensors(const std::string& path);

/// Blocks of FP8 that share a scale.
struct ScaledSizes {
  int64_t rows = 128, columns = 128;
};
/// The same tensors, with those of FP8 (X and X_scale_inv) and of MXFP4 (X_blocks and X_scales, as [E, in,
/// out]) expanded to f32 under the name X (gatewright/language/checkpoint/scaled_blocks.h).
std::shared_ptr<TensorSource> with_scales(std::shared_ptr<TensorSource> files, const ScaledSizes& sizes);

}  // namespace gw::inline language
