#pragma once
#include <string>
#include <vector>

namespace gw {

/// Where recipes are looked for: ./recipes, beside the program's build tree, and the installed share folder.
std::vector<std::string> recipe_folders();

}  // namespace gw
