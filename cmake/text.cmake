# What the tokenizers need: regular expressions and Unicode's tables (docs/decisions/017-tokenizers.md). Seen by source files of the
# floor text alone; whoever links its objects links gw_text_libraries.
function(gw_found_library name header library package)
  find_path(GW_${name}_INCLUDE "${header}")
  find_library(GW_${name}_LIBRARY "${library}")
  if(NOT GW_${name}_INCLUDE OR NOT GW_${name}_LIBRARY)
    message(FATAL_ERROR "gatewright: expected ${header} and lib${library}, found \"${GW_${name}_INCLUDE}\" and \"${GW_${name}_LIBRARY}\"; "
                        "install ${package} (tools/install_deps.sh) or set GW_${name}_INCLUDE and GW_${name}_LIBRARY")
  endif()
  target_include_directories(gw_text_libraries SYSTEM INTERFACE "${GW_${name}_INCLUDE}")
  target_link_libraries(gw_text_libraries INTERFACE "${GW_${name}_LIBRARY}")
endfunction()
add_library(gw_text_libraries INTERFACE)
gw_found_library(PCRE2 pcre2.h pcre2-8 libpcre2-dev)
gw_found_library(UTF8PROC utf8proc.h utf8proc libutf8proc-dev)
