# Writes OUT, a source with the commit of SOURCE, if it would change: pages say which program made them. "" outside of a checkout.
execute_process(COMMAND git -C "${SOURCE}" describe --always --dirty --abbrev=12 --exclude=* OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE
                ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit "")
endif()
file(CONFIGURE OUTPUT "${OUT}" CONTENT "namespace gw {\nextern const char* const kCommit;\nconst char* const kCommit = \"${commit}\";\n}  // namespace gw\n")
