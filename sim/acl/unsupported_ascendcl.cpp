// libascendcl.so: what torch_npu links and the simulator does not emulate.
#include "acl/unsupported.h"

// Memory mapped piece by piece (PYTORCH_NPU_ALLOC_CONF=expandable_segments:True), and shared between processes.
ASCEND_SIM_UNSUPPORTED(aclrtReserveMemAddress, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(aclrtReleaseMemAddress, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(aclrtMallocPhysical, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(aclrtFreePhysical, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(aclrtMapMem, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(aclrtUnmapMem, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(aclrtMemExportToShareableHandle, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(aclrtMemImportFromShareableHandle, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(aclrtMemSetPidToShareableHandle, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(aclrtDeviceGetBareTgid, ACL_ERROR_API_NOT_SUPPORT)

// Compiled kernels (ELF for the chip) cannot run here.
ASCEND_SIM_UNSUPPORTED(rtDevBinaryRegister, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(rtFunctionRegister, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(rtKernelLaunch, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(rtGetC2cCtrlAddr, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(aclrtBinaryLoadFromData, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(aclrtBinaryGetFunction, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(aclrtGetFunctionAddr, ACL_ERROR_API_NOT_SUPPORT)

// Dumps.
ASCEND_SIM_UNSUPPORTED(aclmdlInitDump, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(aclmdlSetDump, ACL_ERROR_API_NOT_SUPPORT)
ASCEND_SIM_UNSUPPORTED(aclmdlFinalizeDump, ACL_ERROR_API_NOT_SUPPORT)

// Profiling. There is no profiler: a registered callback is never called, and nothing takes reports.
extern "C" int32_t MsprofRegisterCallback(uint32_t, void*) { return 0; }
ASCEND_SIM_UNSUPPORTED(MsprofReportAdditionalInfo, -1)
ASCEND_SIM_UNSUPPORTED(MsprofReportApi, -1)
ASCEND_SIM_UNSUPPORTED(MsprofReportCompactInfo, -1)
ASCEND_SIM_UNSUPPORTED(MsprofGetHashId, 0)
ASCEND_SIM_UNSUPPORTED(MsprofSysCycleTime, 0)
