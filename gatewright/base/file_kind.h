#pragma once
#include <string>
#include <string_view>

namespace gw::inline base {

/// What a file of another format is, by its first bytes, and what to do about it, as the end of a message: a
/// Git LFS pointer, a zip archive (also .pt, .npz, .xlsx), a pickle, GGUF, HDF5, NumPy, Parquet, a web page.
/// "" for anything else.
std::string foreign_kind(std::string_view bytes);

}  // namespace gw::inline base
