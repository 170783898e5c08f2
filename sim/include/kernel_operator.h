// What an Ascend C kernel includes.
#pragma once

#include "kernel_basic_intf.h"
