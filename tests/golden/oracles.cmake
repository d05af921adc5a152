# alambic_oracle(NAME SCRIPT arguments...): a check against an independent program, ctest's oracle.NAME.
function(alambic_oracle name script)
  add_test(NAME oracle.${name} COMMAND ${ALAMBIC_ORACLE_PYTHON} ${PROJECT_SOURCE_DIR}/tests/golden/${script} ${ARGN})
  set_tests_properties(oracle.${name} PROPERTIES LABELS oracle TIMEOUT 600 SKIP_RETURN_CODE 77
    ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;TOKENIZERS_PARALLELISM=false")
endfunction()

# What is kept is what those programs say today.
alambic_oracle(recorded_templates check_recorded.py make_chat_goldens.py)
alambic_oracle(recorded_tokenizers check_recorded.py make_tokenizer_goldens.py --kept)
alambic_oracle(recorded_user_pieces check_recorded.py make_user_defined_goldens.py)
alambic_oracle(recorded_scores check_recorded.py make_eval.py)
alambic_oracle(recorded_safetensors check_recorded.py make_safetensors.py)
alambic_oracle(recorded_gguf_blocks check_recorded.py make_gguf_goldens.py)

# What alambic reads and writes is what they read and write.
if(TARGET alambic)
  alambic_oracle(templates check_chat_templates.py $<TARGET_FILE:text_test>)
  alambic_oracle(tokenizers check_tokenizers.py $<TARGET_FILE:text_test> 4000)
  alambic_oracle(trained_tokenizers check_tokenizer_export.py $<TARGET_FILE:text_test>)
  alambic_oracle(written_directories check_model_export.py $<TARGET_FILE:models_test>)
  alambic_oracle(written_gguf check_gguf_export.py $<TARGET_FILE:alambic>)
  alambic_oracle(bleu check_bleu.py $<TARGET_FILE:alambic>)
endif()
