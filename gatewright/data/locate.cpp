#include "gatewright/data/locate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "gatewright/base/error.h"
#include "gatewright/base/shown.h"

namespace gw::inline data {
namespace {

bool present(const std::string& path) {
  std::error_code ignored;  // what cannot be looked at is not there
  return std::filesystem::is_regular_file(path, ignored);
}

}  // namespace

std::string dataset_file(const std::string& directory, const std::string& file) {
  const std::string plain = directory + "/" + file;
  return !present(plain) && present(plain + ".gz") ? plain + ".gz" : plain;
}

DatasetPlace find_dataset(const std::string& path, const std::string& folder,
                          const std::vector<std::string>& files) {
  std::vector<std::string> places;
  const char* root = std::getenv("GATEWRIGHT_DATA");
  if (!path.empty()) {
    places = {path};
  } else {
    if (root != nullptr && *root != '\0') places.push_back(std::string(root) + "/" + folder);
    places.push_back("/usr/share/datasets/" + folder);
  }
  std::string absent;  // of the first place: the one that the user chose
  for (const auto& place : places) {
    const auto gap = std::find_if(files.begin(), files.end(), [&](const std::string& file) {
      return !present(dataset_file(place, file));
    });
    if (gap == files.end()) return {place, ""};
    if (absent.empty()) absent = *gap;
  }
  return {"", fmt::format("expected {} in {}, got no such file", absent, fmt::join(places, " or "))};
}

std::string find_file(const std::string& part, const std::string& path) {
  namespace fs = std::filesystem;
  if (present(path)) return path;
  std::vector<std::string> folders;
  if (const char* root = std::getenv("GATEWRIGHT_DATA"); root != nullptr && *root != '\0')
    folders.emplace_back(root);
  folders.push_back(std::string(GW_SOURCE_ROOT) + "examples/data");
  std::error_code ignored;
  const auto program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  if (!program.empty())
    folders.push_back((program / ".." / "share" / "gatewright" / "data").lexically_normal().string());
  for (const auto& folder : folders) {
    const std::string there = folder + "/" + path;
    if (present(there)) return there;
  }
  throw IoError(fmt::format("{}: expected the file \"{}\" here or in {}, got no such file", part, shown(path),
                            fmt::join(folders, ", ")));
}

}  // namespace gw::inline data
