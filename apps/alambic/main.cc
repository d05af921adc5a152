#include "alambic/cli/cli.h"

int main(int argc, char** argv) { return alambic::run(argc, argv); }
