add_executable(kernels_bench ${CMAKE_CURRENT_LIST_DIR}/kernels_bench.cc)
target_link_libraries(kernels_bench PRIVATE alambic_kernels benchmark::benchmark)
# oneDNN is the yardstick where it is installed (libdnnl-dev); nothing else uses it. Debian's CMake package
# for it insists on OpenCL, so look for the files.
find_path(ALAMBIC_ONEDNN_INCLUDE dnnl.h)
find_library(ALAMBIC_ONEDNN_LIBRARY dnnl)
if(ALAMBIC_ONEDNN_INCLUDE AND ALAMBIC_ONEDNN_LIBRARY)
  target_link_libraries(kernels_bench PRIVATE ${ALAMBIC_ONEDNN_LIBRARY})
  target_include_directories(kernels_bench PRIVATE ${ALAMBIC_ONEDNN_INCLUDE})
  target_compile_definitions(kernels_bench PRIVATE ALAMBIC_HAS_ONEDNN=1)
endif()
