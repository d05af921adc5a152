add_executable(text_bench ${CMAKE_CURRENT_LIST_DIR}/text_bench.cc)
target_link_libraries(text_bench PRIVATE alambic_text benchmark::benchmark)
target_compile_definitions(text_bench PRIVATE ALAMBIC_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
