# Whole dialogues with the built program.
if(TARGET alambic)
  foreach(dialogue decoding endpoint serve openai_client faces bench students resume real_model quantize gguf adapters memory puzzles)
    add_test(NAME e2e.${dialogue}
      COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/${dialogue}.py $<TARGET_FILE:alambic>)
    set_tests_properties(e2e.${dialogue} PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77
      ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
  endforeach()
endif()
