#include "apps/cli/recipes.h"

#include <filesystem>

namespace gw {

std::vector<std::string> recipe_folders() {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const auto program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  std::vector<std::string> folders{"recipes"};
  if (!program.empty()) {
    folders.push_back((program / ".." / "recipes").lexically_normal().string());
    folders.push_back((program / ".." / "share" / "gatewright" / "recipes").lexically_normal().string());
  }
  return folders;
}

}  // namespace gw
