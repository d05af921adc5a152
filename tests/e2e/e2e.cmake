# Whole dialogues with the built program.
if(TARGET alambic)
  foreach(dialogue decoding endpoint on_policy simple_baseline serve openai_client faces bench students resume quickstart real_model quantize gguf adapters memory puzzles)
    set(python ${Python3_EXECUTABLE})
    if(dialogue STREQUAL openai_client)
      set(python ${ALAMBIC_ORACLE_PYTHON})
    endif()
    add_test(NAME e2e.${dialogue}
      COMMAND ${python} ${CMAKE_CURRENT_LIST_DIR}/${dialogue}.py $<TARGET_FILE:alambic>)
    # A dialogue that skips a part of itself counts as skipped.
    set_tests_properties(e2e.${dialogue} PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77
      SKIP_REGULAR_EXPRESSION "OK .skipped=" ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
  endforeach()
  # One dialogue per kind of thing that once went wrong on first contact with a user.
  file(GLOB first_contact CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/first_contact/*.py)
  foreach(file ${first_contact})
    get_filename_component(kind ${file} NAME_WE)
    add_test(NAME first_contact.${kind} COMMAND ${Python3_EXECUTABLE} ${file} $<TARGET_FILE:alambic>)
    set_tests_properties(first_contact.${kind} PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77
      SKIP_REGULAR_EXPRESSION "OK .skipped=" ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;PYTHONPATH=${CMAKE_CURRENT_LIST_DIR}")
  endforeach()
  set_tests_properties(e2e.openai_client PROPERTIES LABELS oracle)
endif()
