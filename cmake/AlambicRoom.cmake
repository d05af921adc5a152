# alambic_room(NAME [LINK libraries...] [HEADERS headers...] [COLD]): one folder is one static library, alambic_NAME, and one test program,
# NAME_test, made of every foo_test.cc that stands beside its foo.cc. Rooms share one precompiled header, tests another:
# parsing nlohmann/json, fmt and GoogleTest in every file is most of a build on two cores. A room with HEADERS of its own
# has its own precompiled header. A COLD room spends no time worth optimising for: -O1 builds it in two thirds of the time.
set(ALAMBIC_COMMON_HEADERS <algorithm> <functional> <map> <memory> <optional> <span> <string> <string_view> <vector>
  <fmt/format.h> <nlohmann/json.hpp>)

add_library(alambic_common OBJECT ${CMAKE_CURRENT_LIST_DIR}/common.cc)
target_link_libraries(alambic_common PRIVATE alambic_options fmt::fmt nlohmann_json::nlohmann_json)
target_precompile_headers(alambic_common PRIVATE ${ALAMBIC_COMMON_HEADERS})
if(ALAMBIC_BUILD_TESTS)
  add_library(alambic_common_test OBJECT ${CMAKE_CURRENT_LIST_DIR}/common.cc)
  target_link_libraries(alambic_common_test PRIVATE alambic_options fmt::fmt nlohmann_json::nlohmann_json GTest::gtest)
  target_precompile_headers(alambic_common_test PRIVATE ${ALAMBIC_COMMON_HEADERS} <gtest/gtest.h>)
  # Tests spend their time in the rooms' code, not in their own: optimise the build instead.
  target_compile_options(alambic_common_test PRIVATE $<$<CONFIG:Release>:-O1>)
endif()

function(alambic_room name)
  cmake_parse_arguments(ROOM "COLD" "" "LINK;HEADERS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  add_library(alambic_${name} STATIC ${sources})
  target_link_libraries(alambic_${name} PUBLIC alambic_options ${ROOM_LINK})
  if(NOT name STREQUAL kernels)  # other floating-point flags there, and none of these headers
    target_link_libraries(alambic_${name} PUBLIC fmt::fmt nlohmann_json::nlohmann_json)
    if(ROOM_HEADERS)
      target_precompile_headers(alambic_${name} PRIVATE ${ALAMBIC_COMMON_HEADERS} ${ROOM_HEADERS})
    else()
      target_precompile_headers(alambic_${name} REUSE_FROM alambic_common)
    endif()
  endif()
  if(ROOM_COLD)
    target_compile_options(alambic_${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  endif()
  if(ALAMBIC_BUILD_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE alambic_${name} GTest::gtest_main)
    if(NOT name STREQUAL kernels)
      target_precompile_headers(${name}_test REUSE_FROM alambic_common_test)
    endif()
    target_compile_options(${name}_test PRIVATE $<$<CONFIG:Release>:-O1>)
    target_compile_definitions(${name}_test PRIVATE
      ALAMBIC_SOURCE_DIR="${PROJECT_SOURCE_DIR}" ALAMBIC_GOLDEN_DIR="${PROJECT_SOURCE_DIR}/tests/golden")
    # Tests that write what another program then reads are run by the check that starts that program (tests/golden).
    gtest_discover_tests(${name}_test TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60
      TEST_FILTER "-*ThePythonCheck*:*IsWrittenForTransformersToCheck*:*IsWrittenForPeftToCheck*"
      PROPERTIES TIMEOUT 600)
  endif()
endfunction()
