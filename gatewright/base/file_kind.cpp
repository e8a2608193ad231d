#include "gatewright/base/file_kind.h"

namespace gw::inline base {

std::string foreign_kind(std::string_view bytes) {
  const auto begins = [&](std::string_view magic) { return bytes.substr(0, magic.size()) == magic; };
  if (begins("version https://git-lfs"))
    return "a pointer of Git LFS instead of the file: fetch it with `git lfs pull`";
  if (begins("PK\x03\x04"))
    return "a zip archive, as .pt, .npz and .xlsx are: save it from the program that wrote it in the format "
           "wanted here";
  if (begins("GGUF")) return "a GGUF file, quantised for llama.cpp: take the weights that it was made from";
  if (begins("\x89HDF\r\n")) return "an HDF5 file: convert it";
  if (begins("\x93NUMPY")) return "a NumPy array: convert it";
  if (begins("PAR1")) return "a Parquet file: convert it";
  if (begins("<!DOCTYPE") || begins("<!doctype") || begins("<html"))
    return "a web page: was an error page saved instead of the file?";
  const bool pickle =
      bytes.size() > 2 && bytes[0] == '\x80' && bytes[1] >= '\x02' && bytes[1] <= '\x05' && bytes[2] != '\0';
  if (pickle)
    return "a pickle, as .pt files of old are, which runs code when it is read: save the weights from Python "
           "with safetensors";
  return "";
}

}  // namespace gw::inline base
