// Carries the precompiled headers; see AlambicRoom.cmake.
