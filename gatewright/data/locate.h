#pragma once
#include <string>
#include <vector>

namespace gw::inline data {

/// Where the files of a dataset are.
struct DatasetPlace {
  std::string directory;  ///< empty if no place holds all files
  std::string missing;    ///< empty, or "expected <file> in <places>, got no such file"
};

/// Looks in `path` alone if it is given, else in $GATEWRIGHT_DATA/<folder> and then in
/// /usr/share/datasets/<folder>, for a place that holds every file of `files`, plain or with ".gz".
DatasetPlace find_dataset(const std::string& path, const std::string& folder,
                          const std::vector<std::string>& files);

/// The path of a file of the dataset, plain or with ".gz", whichever is there.
std::string dataset_file(const std::string& directory, const std::string& file);

/// The path of one file: as given if it is there, else in $GATEWRIGHT_DATA, else among the files that come
/// with the project (examples/data, installed as share/gatewright/data).
/// Errors: IoError naming the places.
std::string find_file(const std::string& part, const std::string& path);

}  // namespace gw::inline data
