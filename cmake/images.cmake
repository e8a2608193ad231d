# What the readers of pictures need (docs/decisions/002-dependencies.md). Seen by two source files of the floor data alone; whoever
# links its objects links gw_image_libraries.
find_package(PNG REQUIRED)   # libpng-dev (tools/install_deps.sh)
find_package(JPEG REQUIRED)  # libjpeg62-turbo-dev
add_library(gw_image_libraries INTERFACE)
target_link_libraries(gw_image_libraries INTERFACE PNG::PNG JPEG::JPEG)
