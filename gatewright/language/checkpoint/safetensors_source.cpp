#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/base/json.h"
#include "gatewright/base/mapped_file.h"
#include "gatewright/base/options.h"
#include "gatewright/language/checkpoint/source.h"
#include "gatewright/models/safetensors_header.h"

namespace gw::inline language {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kIndexBytes = uint64_t{1} << 27;
constexpr const char* kIndex = "model.safetensors.index.json";

struct Place {
  std::shared_ptr<MappedFile> file;
  SafetensorsEntry entry;
  size_t content;  ///< where the file's tensors begin
};

class SafetensorsSource : public TensorSource {
 public:
  explicit SafetensorsSource(const std::string& path) : where_(path) {
    if (fs::is_directory(path))
      add_folder(path);
    else
      add(path);
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& item : places_) all.push_back(item.first);
    return all;
  }
  bool has(const std::string& name) const override { return places_.count(name) > 0; }
  std::string where() const override { return where_; }
  double values() const override {
    double sum = 0;
    for (const auto& item : places_) {
      const auto& entry = item.second.entry;
      sum += static_cast<double>((entry.offsets[1] - entry.offsets[0]) /
                                 std::max<uint64_t>(entry.dtype->bytes, 1));
    }
    return sum;
  }

  TensorInfo info(const std::string& name) const override {
    const auto& entry = place(name).entry;
    return {{entry.shape.begin(), entry.shape.end()},
            entry.dtype->name,
            entry.dtype->type == at::ScalarType::Undefined ? at::kByte : entry.dtype->type,
            static_cast<int64_t>(entry.offsets[1] - entry.offsets[0])};
  }

  at::Tensor tensor(const std::string& name) const override {
    const auto& [file, entry, content] = place(name);
    const bool bytes = std::string_view(entry.dtype->name) == "F8_E4M3";
    GW_CHECK(bytes || entry.dtype->type != at::ScalarType::Undefined,
             "{}: expected the tensor \"{}\" in one of {}, got {}", file->path(),
             shown_safetensors_name(name), fmt::join(safetensors_dtype_names(), " "), entry.dtype->name);
    const std::vector<int64_t> shape(entry.shape.begin(), entry.shape.end());
    const auto options = at::TensorOptions().dtype(bytes ? at::kByte : entry.dtype->type);
    if (entry.offsets[0] == entry.offsets[1]) return at::empty(shape, options);
    const char* at = file->bytes().data() + content + entry.offsets[0];
    const auto owner = file;  // the mapping lives as long as a tensor that looks at it
    if (reinterpret_cast<uintptr_t>(at) % entry.dtype->bytes != 0) {
      auto copy = at::empty(shape, options);
      std::copy_n(at, entry.offsets[1] - entry.offsets[0], static_cast<char*>(copy.data_ptr()));
      return copy;
    }
    return at::from_blob(
        const_cast<char*>(at), shape, [owner](void*) {}, options);
  }

 private:
  const Place& place(const std::string& name) const {
    const auto found = places_.find(name);
    if (found == places_.end())
      fail("{}: no tensor \"{}\"{}", where_, shown_safetensors_name(name), near_miss(name, names()));
    return found->second;
  }

  void add(const std::string& path) {
    auto file = std::make_shared<MappedFile>(path);
    const auto text = safetensors_header_text(file->bytes(), path);
    const size_t content = 8 + text.size();
    auto header = parse_safetensors_header(text, file->bytes().size() - content, path);
    for (auto& [name, entry] : header.tensors) {
      GW_CHECK(places_.count(name) == 0, "{}: expected every tensor in one file, got \"{}\" in {} and {}",
               where_, shown_safetensors_name(name), places_.at(name).file->path(), path);
      places_.emplace(name, Place{file, entry, content});
    }
  }

  void add_folder(const std::string& path) {
    const auto index = fs::path(path) / kIndex, single = fs::path(path) / "model.safetensors";
    if (fs::exists(index)) return add_index(path, index.string());
    GW_CHECK(fs::exists(single), "{}: expected model.safetensors or {}, got neither", path, kIndex);
    add(single.string());
  }

  void add_index(const std::string& folder, const std::string& path) {
    std::map<std::string, std::string> map;
    try {
      map = Json::parse(read_file(path, kIndexBytes))
                .at("weight_map")
                .get<std::map<std::string, std::string>>();
    } catch (const JsonError& error) {
      fail("{}: expected an object \"weight_map\" of tensors and their files: {}", path, error.what());
    }
    std::vector<std::string> files;
    for (const auto& item : map) files.push_back(item.second);
    std::sort(files.begin(), files.end());
    files.erase(std::unique(files.begin(), files.end()), files.end());
    for (const auto& name : files) {
      GW_CHECK(!name.empty() && name.find('/') == std::string::npos && name.find('\0') == std::string::npos,
               "{}: expected files beside the index, got \"{}\"", path, shown_safetensors_name(name));
      add((fs::path(folder) / name).string());
    }
    for (const auto& [tensor, file] : map)
      GW_CHECK(has(tensor), "{}: the index names \"{}\" in {}, which has no such tensor; fetch the file anew",
               folder, shown_safetensors_name(tensor), file);
  }

  std::string where_;
  std::map<std::string, Place> places_;
};

}  // namespace

std::shared_ptr<TensorSource> open_safetensors(const std::string& path) {
  return std::make_shared<SafetensorsSource>(path);
}

}  // namespace gw::inline language
