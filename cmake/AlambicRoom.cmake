# alambic_room(NAME [LINK libraries...]): one folder is one static library, alambic_NAME, and one test program,
# NAME_test, made of every foo_test.cc that stands beside its foo.cc.
function(alambic_room name)
  cmake_parse_arguments(ROOM "" "" "LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  if(NOT sources)
    add_library(alambic_${name} INTERFACE)
    return()
  endif()
  add_library(alambic_${name} STATIC ${sources})
  target_link_libraries(alambic_${name} PUBLIC alambic_options ${ROOM_LINK})
  if(ALAMBIC_BUILD_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE alambic_${name} GTest::gtest_main)
    target_compile_definitions(${name}_test PRIVATE
      ALAMBIC_SOURCE_DIR="${PROJECT_SOURCE_DIR}" ALAMBIC_GOLDEN_DIR="${PROJECT_SOURCE_DIR}/tests/golden")
    gtest_discover_tests(${name}_test TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60
      PROPERTIES TIMEOUT 600)
  endif()
endfunction()
