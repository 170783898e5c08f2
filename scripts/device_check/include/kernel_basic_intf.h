// The second name of the API in CANN >= 8.5.
#pragma once
#include "kernel_operator.h"
