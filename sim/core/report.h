// What a launch has to say, as JSON.
#pragma once

#include <string>

#include "core/machine.h"

namespace ascend_sim {

std::string JsonQuote(const std::string& text);
std::string ReportJson(const Machine& machine, bool completed);
// One finding a line: file:line: rule (npuchk alias): message [n times]
std::string FindingsText(const Machine& machine);
bool WriteTrace(const Machine& machine, const char* file);
std::string SocsJson();

}  // namespace ascend_sim
