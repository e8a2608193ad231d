#pragma once
// Where a model's tensors come from.
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

namespace gw::inline language {

/// Named tensors of a checkpoint, under the names that Hugging Face gives them.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  virtual std::vector<std::string> names() const = 0;
  virtual bool has(const std::string& name) const = 0;
  /// A view of the file where its type is one of libtorch's, else expanded to f32. Views stay valid when the
  /// source is gone; nobody may write to them. Errors: ValueError with the near miss.
  virtual at::Tensor tensor(const std::string& name) const = 0;
  /// Of all tensors together.
  virtual double values() const = 0;
  /// For messages: the folder or the file.
  virtual std::string where() const = 0;
};

/// `path`: a folder with model.safetensors or model.safetensors.index.json, or one such file.
/// Errors: IoError; ValueError for shards that lie outside the folder, tensors in two shards, tensors that an
///         index names and its shard has not, and all of parse_safetensors_header's.
/// Cost:   the headers; tensors are mapped.
std::shared_ptr<TensorSource> open_safetensors(const std::string& path);

}  // namespace gw::inline language
